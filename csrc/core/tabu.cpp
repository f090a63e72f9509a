#include "core/tabu.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "core/parallel.hpp"
#include "core/random.hpp"

namespace qpsbgd {
namespace {

// Elites of a read, and searches between two looks at what they found. On dense random problems of
// 3000 variables four elites, or sixteen, took longer to the best energies.
constexpr std::size_t kElites = 8;
constexpr std::size_t kGeneration = 8;
// Generations without a new elite after which all but the best are given up.
constexpr std::size_t kBarrenGenerations = 4;
// A search ends when its best energy is so many moves old, a variable, and at least.
constexpr std::size_t kStallPerVariable = 2;
constexpr std::size_t kStallMin = 100;
// Gains that are read, or moves made, between two looks at the clock: some twenty microseconds.
constexpr std::size_t kRun = 1 << 18;
constexpr std::size_t kMostMovesARun = 256;
// More than the relative error of an energy from float gains: nearer to a threshold, float64
// decides.
constexpr double kFloatError = 1e-4;
// And more than that of the difference of two such energies of one search.
constexpr double kRounding = 1e-6;

// Numbers of one search, in order; which one it is is all that they depend on.
class RandomWords {
 public:
  explicit RandomWords(StreamKey key) : state_(std::uint64_t{key.word1} << 32 | key.word0) {}
  std::uint64_t next() { return splitmix64(state_ += 0x9e3779b97f4a7c15u); }
  std::size_t below(std::size_t bound) { return (next() >> 32) * bound >> 32; }

 private:
  std::uint64_t state_;
};

// A state with its gains: enough to go on from there.
struct Snapshot {
  std::vector<std::byte> bytes;
  double energy = std::numeric_limits<double>::infinity();  // in units of the walker
};

// One state that is walked by flips. Gains and energies are in the walker's unit.
class Walker {
 public:
  virtual ~Walker() = default;
  // The state in which all spins are +1.
  virtual void reset() = 0;
  virtual void save(Snapshot& out) const = 0;
  virtual void load(const Snapshot& snapshot) = 0;
  virtual bool up(std::size_t i) const = 0;
  virtual double gain(std::size_t i) const = 0;

  virtual void flip(std::size_t i) = 0;
  virtual TabuPick pick(std::uint32_t random) = 0;
  virtual TabuPick move(std::size_t i, std::uint32_t random) = 0;
  virtual void forbid(std::size_t i) = 0;
  virtual void allow(std::size_t i) = 0;
  // How many moves may follow before it has to be asked again; 0 where the gains need more bits.
  virtual std::size_t headroom() const { return std::numeric_limits<std::size_t>::max(); }

  std::size_t num_variables() const { return linear_.size(); }
  double unit() const { return unit_; }
  double energy() const {
    double sum = 0.0;
    for (std::size_t i = 0; i < linear_.size(); ++i) {
      sum += (up(i) ? linear_[i] : -linear_[i]) + gain(i);
    }
    return 0.5 * sum;
  }

 protected:
  Walker(const Ising& problem, double unit) : unit_(unit), linear_(problem.linear64()) {
    for (double& bias : linear_) bias /= unit;
  }

 private:
  const double unit_;
  std::vector<double> linear_;
};

template <class Value>
class Columns {
 public:
  explicit Columns(std::size_t num_variables)
      : size_(num_variables),
        ld_(round_up(num_variables, kTabuBlock)),
        state_(2 * ld_),
        caps_(ld_) {
    std::fill_n(gains(), ld_, kLowest);
    std::fill_n(spins(), ld_, Value{2});
    std::fill_n(caps_.data(), ld_, kLowest);
    std::fill_n(caps_.data(), size_, kHighest);
  }

  std::size_t ld() const { return ld_; }
  Value* gains() { return state_.data(); }
  Value* spins() { return state_.data() + ld_; }
  Value* caps() { return caps_.data(); }
  bool up(std::size_t i) const { return state_[ld_ + i] > 0; }
  double gain(std::size_t i) const { return state_[i]; }
  void forbid(std::size_t i) { caps_[i] = kLowest; }
  void allow(std::size_t i) { caps_[i] = kHighest; }

  // To the state of all +1, whose gains are its fields.
  void reset(const std::vector<double>& fields, double unit) {
    std::fill_n(spins(), size_, Value{2});
    for (std::size_t i = 0; i < size_; ++i) gains()[i] = static_cast<Value>(fields[i] / unit);
  }
  void save(std::vector<std::byte>& out) const {
    out.resize(state_.size() * sizeof(Value));
    std::memcpy(out.data(), state_.data(), out.size());
  }
  void load(const std::vector<std::byte>& bytes) {
    std::memcpy(state_.data(), bytes.data(), bytes.size());
  }

 private:
  static constexpr bool kFloat = std::is_same_v<Value, float>;
  static constexpr Value kHighest =
      kFloat ? std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::max();
  static constexpr Value kLowest =
      kFloat ? -std::numeric_limits<Value>::infinity() : std::numeric_limits<Value>::lowest();
  std::size_t size_, ld_;
  Buffer<Value> state_;  // gains, then spins
  Buffer<Value> caps_;
};

// Couplings as int8, where all are integers of that size in the problem's least unit.
struct NarrowCouplings {
  double unit = 0.0;
  int largest = 0;
  Buffer<std::int8_t> values;  // (n, ld)
};

// What 16 bits hold; one less than the highest value, which marks variables that are allowed.
constexpr int kMostGain = std::numeric_limits<std::int16_t>::max() - 1;

// None where they, or the first fields, do not fit.
std::unique_ptr<NarrowCouplings> narrow_couplings(const KernelTable& kernels, const Ising& problem,
                                                  const std::vector<double>& first_fields,
                                                  int num_threads) {
  if (problem.form() != Ising::Form::kDense) return nullptr;
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  auto narrow = std::make_unique<NarrowCouplings>();
  // Where all biases are 0 any unit will do.
  constexpr int kMostExponent = 1023;
  narrow->unit = problem.lowest_bit() > kMostExponent ? 1.0 : std::ldexp(1.0, problem.lowest_bit());
  for (const double field : first_fields) {
    if (std::fabs(field) > kMostGain * narrow->unit) return nullptr;
  }
  const double scale = problem.scale() * narrow->unit;  // a power of two
  const auto inverse = static_cast<float>(1.0 / scale);
  if (!std::isfinite(inverse)) return nullptr;
  const float* couplings = problem.couplings();
  const auto largest = std::bit_cast<float>(kernels.largest_magnitude(couplings, n * problem.ld()));
  if (largest * inverse > 127.0f) return nullptr;
  narrow->largest = static_cast<int>(largest * inverse);
  narrow->values = Buffer<std::int8_t>(n * ld);
  parallel_for(n, num_threads, [&](std::size_t row, int) {
    std::int8_t* to = &narrow->values[row * ld];
    kernels.narrow(couplings + row * problem.ld(), problem.ld(), inverse, to);
    std::fill(to + problem.ld(), to + ld, std::int8_t{0});
  });
  return narrow;
}

// The float couplings in rows of whole blocks.
Buffer<float> blocked_couplings(const Ising& problem) {
  const std::size_t n = problem.num_variables(), ld = round_up(n, kTabuBlock);
  Buffer<float> values(n * ld);
  for (std::size_t row = 0; row < n; ++row) {
    std::copy_n(problem.couplings() + row * problem.ld(), problem.ld(), &values[row * ld]);
    std::fill(&values[row * ld] + problem.ld(), &values[row * ld] + ld, 0.0f);
  }
  return values;
}

template <class Value>
class DenseWalker final : public Walker {
 public:
  using Coupling = typename TabuTile<Value>::Coupling;
  static constexpr bool kNarrow = !std::is_same_v<Value, float>;

  DenseWalker(const KernelTable& kernels, const Ising& problem,
              const std::vector<double>& first_fields, double unit, const Coupling* couplings,
              int largest_coupling)
      : Walker(problem, unit),
        kernels_(kernels),
        first_fields_(first_fields),
        largest_coupling_(largest_coupling),
        columns_(problem.num_variables()),
        maxima_(columns_.ld() / kTabuBlock * 64 / sizeof(Value)),
        tile_{.couplings = couplings,
              .gains = columns_.gains(),
              .spins = columns_.spins(),
              .caps = columns_.caps(),
              .maxima = maxima_.data(),
              .ld = columns_.ld()} {}

  void reset() override { columns_.reset(first_fields_, unit()); }
  void save(Snapshot& out) const override { columns_.save(out.bytes); }
  void load(const Snapshot& snapshot) override { columns_.load(snapshot.bytes); }
  bool up(std::size_t i) const override { return columns_.up(i); }
  double gain(std::size_t i) const override { return columns_.gain(i); }
  void forbid(std::size_t i) override { columns_.forbid(i); }
  void allow(std::size_t i) override { columns_.allow(i); }

  void flip(std::size_t i) override {
    if constexpr (kNarrow) {
      kernels_.tabu_flip_int16(tile_, i);
    } else {
      kernels_.tabu_flip_float(tile_, i);
    }
  }
  TabuPick pick(std::uint32_t random) override {
    if constexpr (kNarrow) {
      return kernels_.tabu_pick_int16(tile_, random);
    } else {
      return kernels_.tabu_pick_float(tile_, random);
    }
  }
  TabuPick move(std::size_t i, std::uint32_t random) override {
    if constexpr (kNarrow) {
      return kernels_.tabu_move_int16(tile_, i, random);
    } else {
      return kernels_.tabu_move_float(tile_, i, random);
    }
  }
  // A flip changes a gain by at most twice the largest coupling.
  std::size_t headroom() const override {
    if constexpr (!kNarrow) {
      return Walker::headroom();
    } else {
      const int largest = kernels_.tabu_largest_int16(tile_.gains, num_variables());
      return static_cast<std::size_t>(std::max(0, kMostGain - largest)) /
             static_cast<std::size_t>(std::max(1, 2 * largest_coupling_));
    }
  }

 private:
  const KernelTable& kernels_;
  const std::vector<double>& first_fields_;
  const int largest_coupling_;
  Columns<Value> columns_;
  Buffer<Value> maxima_;
  const TabuTile<Value> tile_;
};

class SparseWalker final : public Walker {
 public:
  SparseWalker(const KernelTable& kernels, const Ising& problem,
               const std::vector<double>& first_fields)
      : Walker(problem, 1.0 / problem.scale()),
        kernels_(kernels),
        first_fields_(first_fields),
        columns_(problem.num_variables()),
        num_blocks_(columns_.ld() / kTabuBlock),
        maxima_(2 * num_blocks_),
        stale_(num_blocks_),
        blocks_(num_blocks_ + 1),
        tile_{.offsets = problem.offsets(),
              .neighbours = problem.neighbours(),
              .couplings = problem.couplings(),
              .gains = columns_.gains(),
              .spins = columns_.spins(),
              .caps = columns_.caps(),
              .allowed = maxima_.data(),
              .largest = maxima_.data() + num_blocks_,
              .stale = stale_.data(),
              .blocks = blocks_.data(),
              .num_stale = 0,
              .ld = columns_.ld()} {}

  void reset() override {
    columns_.reset(first_fields_, unit());
    mark_all();
  }
  void save(Snapshot& out) const override { columns_.save(out.bytes); }
  void load(const Snapshot& snapshot) override {
    columns_.load(snapshot.bytes);
    mark_all();
  }
  bool up(std::size_t i) const override { return columns_.up(i); }
  double gain(std::size_t i) const override { return columns_.gain(i); }
  void forbid(std::size_t i) override {
    columns_.forbid(i);
    mark(i / kTabuBlock);
  }
  void allow(std::size_t i) override {
    columns_.allow(i);
    mark(i / kTabuBlock);
  }
  void flip(std::size_t i) override { kernels_.tabu_flip_sparse(tile_, i); }
  TabuPick pick(std::uint32_t random) override { return kernels_.tabu_pick_sparse(tile_, random); }
  TabuPick move(std::size_t i, std::uint32_t random) override {
    flip(i);
    return pick(random);
  }

 private:
  void mark(std::size_t block) {
    if (stale_[block] != 0) return;
    stale_[block] = 1;
    blocks_[tile_.num_stale++] = static_cast<std::uint32_t>(block);
  }
  void mark_all() {
    std::fill_n(stale_.data(), num_blocks_, 0);
    tile_.num_stale = 0;
    for (std::size_t block = 0; block < num_blocks_; ++block) mark(block);
  }

  const KernelTable& kernels_;
  const std::vector<double>& first_fields_;
  Columns<float> columns_;
  const std::size_t num_blocks_;
  Buffer<float> maxima_;
  Buffer<std::uint8_t> stale_;
  Buffer<std::uint32_t> blocks_;  // one more: the kernel writes before it knows whether to
  SparseTabuTile tile_;
};

// Which variables are tabu, and until when.
class TabuList {
 public:
  TabuList(std::size_t num_variables, std::size_t tenure)
      : tenure_(tenure), until_(num_variables, 0), ending_(std::bit_ceil(tenure + 2)) {}

  void clear(Walker& walker) {
    for (auto& variables : ending_) {
      for (const std::uint32_t i : variables) walker.allow(i);
      variables.clear();
    }
  }
  // Before the choice of move number `now`: what was flipped `tenure` and some moves ago is
  // allowed.
  void expire(std::size_t now, Walker& walker) {
    auto& variables = ending_[now & (ending_.size() - 1)];
    for (const std::uint32_t i : variables) {
      if (until_[i] == now) walker.allow(i);
    }
    variables.clear();
  }
  // After the flip of move number `now`.
  void add(std::size_t i, std::size_t now, Walker& walker) {
    if (tenure_ == 0) return;
    const std::size_t until = now + 1 + tenure_;
    until_[i] = until;
    ending_[until & (ending_.size() - 1)].push_back(static_cast<std::uint32_t>(i));
    walker.forbid(i);
  }
  // The first tabu variable of this gain; num_variables if there is none.
  std::size_t find(double gain, const Walker& walker) const {
    std::size_t first = until_.size();
    for (const auto& variables : ending_) {
      for (const std::uint32_t i : variables) {
        if (walker.gain(i) == gain) first = std::min<std::size_t>(first, i);
      }
    }
    return first;
  }

 private:
  const std::size_t tenure_;
  std::vector<std::size_t> until_;                  // (n)
  std::vector<std::vector<std::uint32_t>> ending_;  // by move, modulo its size, a power of 2
};

// What one search found.
struct Found {
  Snapshot best;
  std::uint64_t moves = 0;
  bool begun = false;
  bool overflow = false;
};

// What ends a read: the call's end, or its own time.
class ReadStop {
 public:
  ReadStop(Stop& stop, double seconds) : stop_(stop), limited_(seconds < kForever) {
    if (!limited_) return;
    deadline_ = Clock::now() +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  bool poll() const { return stop_.poll() || timed_out(); }
  bool timed_out() const { return limited_ && Clock::now() >= deadline_; }
  Stop& call() const { return stop_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kForever = 1e9;  // seconds; the clock's ticks hold it
  Stop& stop_;
  const bool limited_;
  Clock::time_point deadline_;
};

// Walks a worker's state: to where a search starts, and the search.
class Search {
 public:
  Search(const Ising& problem, const TabuOptions& options, std::unique_ptr<Walker> walker)
      : problem_(problem),
        walker_(std::move(walker)),
        list_(problem.num_variables(), options.tenure) {}

  // Goes to a state. False where the gains need more bits.
  bool start(const std::int8_t* spins) {
    walker_->reset();
    flips_.clear();
    for (std::size_t i = 0; i < walker_->num_variables(); ++i) {
      if (spins[i] < 0) flips_.push_back(static_cast<std::uint32_t>(i));
    }
    return flip_all();
  }
  bool start_at_random(RandomWords& random) {
    spins_.resize(walker_->num_variables());
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < spins_.size(); ++i, word >>= 1) {
      if (i % 64 == 0) word = random.next();
      spins_[i] = word & 1 ? 1 : -1;
    }
    return start(spins_.data());
  }
  // Goes from a state to the middle of a random path to another one.
  bool start_between(const Snapshot& from, const std::vector<std::uint32_t>& differences,
                     RandomWords& random) {
    walker_->load(from);
    flips_.clear();
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < differences.size(); ++k, word >>= 1) {
      if (k % 64 == 0) word = random.next();
      if (word & 1) flips_.push_back(differences[k]);
    }
    return flip_all();
  }

  // From the walker's state until the best energy is old, or `moves` are made.
  void run(std::optional<std::size_t> moves, RandomWords& random, const ReadStop& stop,
           Found& out) {
    Walker& walker = *walker_;
    const std::size_t n = walker.num_variables();
    const std::size_t stall = std::max(kStallMin, kStallPerVariable * n);
    const std::size_t chunk = std::clamp<std::size_t>(kRun / n, 1, kMostMovesARun);
    list_.clear(walker);
    double energy = walker.energy();
    out.begun = true;
    out.best.energy = energy;
    bool unsaved = true;  // the state is the best one
    std::size_t now = 0, improved = 0, checked = 0;
    TabuPick next = walker.pick(static_cast<std::uint32_t>(random.next()));
    while (moves ? now < *moves : now - improved < stall) {
      if (now == checked) {
        if (stop.poll()) break;
        const std::size_t room = walker.headroom();
        out.overflow = room == 0;
        if (out.overflow) return;
        checked = now + std::min(chunk, room);
      }
      // Energies that are sums of rounded gains: what is less is no improvement.
      const double least = problem_.exact() ? 0.0 : kRounding * std::fabs(out.best.energy);
      if (next.largest > next.gain && energy - 2.0 * next.largest < out.best.energy - least) {
        const std::size_t tabu = list_.find(next.largest, walker);  // aspiration
        if (tabu < n) next = {tabu, next.largest, next.largest};
      }
      if (unsaved && next.gain <= 0.0) {
        save(energy, stop.call(), out);
        unsaved = false;
      }
      ++now;
      list_.expire(now + 1, walker);
      list_.add(next.variable, now, walker);
      energy -= 2.0 * next.gain;
      next = walker.move(next.variable, static_cast<std::uint32_t>(random.next()));
      if (energy < out.best.energy - least) {
        out.best.energy = energy;
        improved = now;
        unsaved = true;
      }
    }
    out.moves = now;
    if (unsaved) save(energy, stop.call(), out);
  }

  // Gains anew, without what many flips have rounded.
  void renew(Snapshot& snapshot) {
    spins(snapshot, spins_);
    start(spins_.data());
    walker_->save(snapshot);
    snapshot.energy = walker_->energy();
  }
  void spins(const Snapshot& snapshot, std::vector<std::int8_t>& out) {
    walker_->load(snapshot);
    out.resize(walker_->num_variables());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = walker_->up(i) ? 1 : -1;
  }

 private:
  bool flip_all() {
    std::size_t checked = 0;
    for (std::size_t k = 0; k < flips_.size(); ++k) {
      if (k == checked) {
        const std::size_t room = walker_->headroom();
        if (room == 0) return false;
        checked = room < flips_.size() ? k + room : flips_.size();
      }
      walker_->flip(flips_[k]);
    }
    return walker_->headroom() > 0;
  }

  // Keeps the state, tells of it, and ends the call if it is not above the threshold.
  void save(double energy, Stop& stop, Found& out) {
    walker_->save(out.best);
    out.best.energy = energy;
    const double value = energy * walker_->unit();
    stop.found(value);
    const double error = problem_.exact() ? 0.0 : kFloatError * std::fabs(value);
    if (value > stop.energy_threshold() + error) return;
    spins_.resize(walker_->num_variables());
    for (std::size_t i = 0; i < spins_.size(); ++i) spins_[i] = walker_->up(i) ? 1 : -1;
    double sure = 0.0;
    problem_.energies(spins_.data(), 1, 1, &sure);
    if (sure <= stop.energy_threshold()) stop.reached();
  }

  const Ising& problem_;
  const std::unique_ptr<Walker> walker_;
  TabuList list_;
  std::vector<std::uint32_t> flips_;
  std::vector<std::int8_t> spins_;
};

// The best different states of a read, the best first.
class Elites {
 public:
  // Without fields a state and its opposite are the same.
  explicit Elites(bool fields) : fields_(fields) {}

  bool full() const { return elites_.size() == kElites; }
  void keep_best() { elites_.resize(1); }

  // Whether the state, whose snapshot is then taken, is one of them now.
  bool offer(Snapshot& snapshot, const std::vector<std::int8_t>& spins) {
    if (full() && snapshot.energy >= elites_.back().snapshot.energy) return false;
    for (const Elite& elite : elites_) {
      const std::size_t n = spins.size(), distance = distance_to(elite, spins);
      if (distance == 0 || (!fields_ && distance == n)) return false;
    }
    if (full()) elites_.pop_back();
    const auto place = std::upper_bound(
        elites_.begin(), elites_.end(), snapshot.energy,
        [](double energy, const Elite& elite) { return energy < elite.snapshot.energy; });
    elites_.insert(place, {std::move(snapshot), spins});
    return true;
  }

  // Two of them: the first, and where the second differs from it.
  const Snapshot& pair(RandomWords& random, std::vector<std::uint32_t>& differences) const {
    const std::size_t first = random.below(elites_.size());
    std::size_t second = random.below(elites_.size() - 1);
    second += second >= first;
    const auto &a = elites_[first].spins, &b = elites_[second].spins;
    const bool opposite = !fields_ && 2 * distance_to(elites_[first], b) > b.size();
    differences.clear();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if ((a[i] != b[i]) != opposite) differences.push_back(static_cast<std::uint32_t>(i));
    }
    return elites_[first].snapshot;
  }

 private:
  struct Elite {
    Snapshot snapshot;
    std::vector<std::int8_t> spins;
  };
  static std::size_t distance_to(const Elite& elite, const std::vector<std::int8_t>& spins) {
    std::size_t distance = 0;
    for (std::size_t i = 0; i < spins.size(); ++i) distance += elite.spins[i] != spins[i];
    return distance;
  }

  const bool fields_;
  std::vector<Elite> elites_;
};

// PAPER: path relinking, Wang, Lu, Glover, Hao 2012 (doi 10.1016/j.ejor.2012.07.012), with random
// paths (PR2) of which the middle is improved by tabu search.
// NOTES: pairs are drawn and found states offered by generations, so that threads share the elites
// and a read does not depend on them; a search is short (two moves a variable, not twenty).
class Read {
 public:
  Read(const Ising& problem, const TabuOptions& options, std::size_t number, const ReadStop& stop)
      : problem_(problem), options_(options), number_(number), stop_(stop) {}

  // False where the gains need more bits; `state` is then as it was.
  bool run(std::vector<std::unique_ptr<Search>>& searches, std::size_t first_worker,
           int num_threads, std::int8_t* state, TabuRead& out) {
    const std::size_t n = problem_.num_variables();
    const auto& linear = problem_.linear64();
    Elites elites(std::any_of(linear.begin(), linear.end(), [](double h) { return h != 0.0; }));
    Snapshot best;
    std::vector<std::int8_t> spins;
    out.restarts = 0;
    out.moves = 0;
    bool relinking = false;
    std::size_t barren = 0;
    for (std::size_t begun = 0; begun <= options_.num_restarts;) {
      std::vector<Found> found(std::min(kGeneration, options_.num_restarts + 1 - begun));
      parallel_for(
          found.size(), num_threads,
          [&](std::size_t k, int worker) {
            // A read's first search begins however little time there is.
            if (begun + k > 0 && stop_.poll()) return;
            search(*searches[first_worker + static_cast<std::size_t>(worker)], begun + k, state,
                   relinking ? &elites : nullptr, found[k]);
          },
          [this] { stop_.poll(); });
      bool renewed = false;
      for (std::size_t k = 0; k < found.size(); ++k) {
        if (found[k].overflow) return false;
        if (!found[k].begun) continue;
        out.restarts = static_cast<std::int64_t>(begun + k);
        out.moves += found[k].moves;
        Search& scratch = *searches[first_worker];
        Snapshot& snapshot = found[k].best;
        if (snapshot.energy < best.energy) best = snapshot;
        scratch.spins(snapshot, spins);
        if (!problem_.exact()) scratch.renew(snapshot);
        renewed |= elites.offer(snapshot, spins);
      }
      begun += found.size();
      if (stop_.poll()) break;
      barren = renewed ? 0 : barren + 1;
      if (!relinking) {
        relinking = elites.full();
      } else if (barren >= kBarrenGenerations) {
        elites.keep_best();
        relinking = false;
      }
    }
    out.timed_out = stop_.timed_out();
    searches[first_worker]->spins(best, spins);
    std::copy_n(spins.data(), n, state);
    return true;
  }

 private:
  void search(Search& search, std::size_t index, const std::int8_t* state, const Elites* elites,
              Found& out) const {
    RandomWords random(stream_key(options_.seed, 0, number_, index));
    bool fits = true;
    if (index == 0) {
      fits = search.start(state);
    } else if (elites == nullptr) {
      fits = search.start_at_random(random);
    } else {
      std::vector<std::uint32_t> differences;
      const Snapshot& from = elites->pair(random, differences);
      fits = search.start_between(from, differences, random);
    }
    out.overflow = !fits;
    if (!fits) return;
    search.run(index == 0 ? options_.first_moves : options_.restart_moves, random, stop_, out);
  }

  const Ising& problem_;
  const TabuOptions& options_;
  const std::size_t number_;
  const ReadStop& stop_;
};

}  // namespace

void tabu(const KernelTable& kernels, const Ising& problem, const TabuOptions& options,
          std::size_t num_reads, std::int8_t* states, TabuRead* reads, Stop& stop) {
  const std::size_t n = problem.num_variables();
  std::fill_n(reads, num_reads, TabuRead{});
  if (n == 0) {
    for (std::size_t read = 0; read < num_reads; ++read) reads[read].restarts = 0;
    return;
  }
  std::vector<double> first_fields(n);  // of the state of all +1
  problem.fields64(std::vector<std::int8_t>(n, 1).data(), first_fields.data());
  const std::unique_ptr<NarrowCouplings> narrow =
      options.narrow ? narrow_couplings(kernels, problem, first_fields, options.num_threads)
                     : nullptr;
  Buffer<float> blocked;
  std::mutex blocking;
  const auto make_search = [&](bool is_narrow) {
    std::unique_ptr<Walker> walker;
    if (is_narrow) {
      walker = std::make_unique<DenseWalker<std::int16_t>>(
          kernels, problem, first_fields, narrow->unit, narrow->values.data(), narrow->largest);
    } else if (problem.form() == Ising::Form::kDense) {
      const std::lock_guard lock(blocking);
      if (blocked.size() == 0) blocked = blocked_couplings(problem);
      walker = std::make_unique<DenseWalker<float>>(kernels, problem, first_fields,
                                                    1.0 / problem.scale(), blocked.data(), 0);
    } else {
      walker = std::make_unique<SparseWalker>(kernels, problem, first_fields);
    }
    return std::make_unique<Search>(problem, options, std::move(walker));
  };
  // With fewer reads than threads these share the searches of a read, else the reads.
  const bool split_reads =
      num_reads >= static_cast<std::size_t>(num_workers(kGeneration, options.num_threads));
  const int outer = split_reads ? options.num_threads : 1;
  const int inner = split_reads ? 1 : options.num_threads;
  const auto workers = static_cast<std::size_t>(split_reads ? num_workers(num_reads, outer)
                                                            : num_workers(kGeneration, inner));
  std::vector<std::unique_ptr<Search>> searches[2];  // by narrow
  searches[0].resize(workers);
  searches[1].resize(workers);
  const auto ready = [&](bool is_narrow, std::size_t first, std::size_t count) {
    for (std::size_t k = first; k < first + count; ++k) {
      auto& search = searches[is_narrow][k];
      if (!search) search = make_search(is_narrow);
    }
  };
  parallel_for(
      num_reads, outer,
      [&](std::size_t read, int worker) {
        if (stop.poll()) return;
        const ReadStop read_stop(stop, options.seconds_per_read);
        Read search(problem, options, read, read_stop);
        const std::size_t first = split_reads ? static_cast<std::size_t>(worker) : 0;
        for (const bool is_narrow : {true, false}) {
          if (is_narrow && !narrow) continue;
          ready(is_narrow, first, split_reads ? 1 : workers);
          reads[read].narrow = is_narrow;
          if (search.run(searches[is_narrow], first, inner, states + read * n, reads[read])) break;
        }
      },
      [&stop] { stop.poll(); });
}

}  // namespace qpsbgd
