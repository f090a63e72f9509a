#include "core/paths/rotors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "core/support/buffer.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

constexpr double kPi = 3.14159265358979323846;
// Couplings that a sweep reads between two polls of Stop: some milliseconds.
constexpr double kRotorRun = 1e6;
// Number of the stream that projects the angles of a start, as of a sweep.
constexpr std::uint64_t kStartProjection = kInitialState - 1;

// Cosines and magnitudes of sines of all angles, and the noise above which a projected angle is +1.
struct AngleTables {
  alignas(64) float cosines[kNumAngles];
  alignas(64) float sines[kNumAngles];
  float thresholds[kNumAngles];

  AngleTables() {
    for (std::size_t a = 0; a < kNumAngles; ++a) {
      const double angle = 2.0 * kPi * static_cast<double>(a) / kNumAngles;
      cosines[a] = static_cast<float>(std::cos(angle));
      sines[a] = static_cast<float>(std::fabs(std::sin(angle)));
      thresholds[a] = static_cast<float>(-std::log(0.5 * (1.0 + std::cos(angle))));
    }
  }
};

// Projects the angles (n) of one read.
void project_read(const KernelTable& kernels, const AngleTables& tables, StreamKey stream,
                  std::size_t n, const std::uint8_t* angles, std::int8_t* spins) {
  Buffer<float> noise(round_up(n, kLanes));
  kernels.elementwise.exponential(stream, 0, n, noise.data());
  for (std::size_t i = 0; i < n; ++i) spins[i] = noise[i] > tables.thresholds[angles[i]] ? 1 : -1;
}

// What the threads of a call share.
struct RotorCall {
  const KernelTable& kernels;
  const Ising& problem;
  const RotorDynamics& dynamics;
  const float* transverse;
  const std::uint8_t* angles;
  const RotorResults& results;
  std::size_t num_samples;
  AngleTables tables;
};

// Returns the rule of a sweep. `scale` is that of the problem's floats.
RotorRule rule_of(const RotorDynamics& dynamics, const PathFields& fields, double scale) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  RotorRule rule{.proposal = dynamics.proposal,
                 .energy_factor = static_cast<float>(std::min(fields.problem / scale, kLargest)),
                 .transverse = static_cast<float>(fields.transverse),
                 .reach = 0,
                 .outside = 0};
  if (rule.proposal != RotorProposal::kNear) return rule;
  // The mean distance of a proposal is half of the range, as if angles were continuous.
  const double range = fields.transverse / fields.problem * (kNumAngles / 2);
  if (!(range < kNumAngles / 2)) {  // also without either field
    rule.proposal = RotorProposal::kUniform;
    return rule;
  }
  rule.reach = static_cast<std::uint32_t>(std::max(0.0, range - 0.5));
  const double reach = rule.reach, mean = reach * (reach + 1.0) / (2.0 * reach + 1.0);
  rule.outside =
      static_cast<std::uint32_t>((0.5 * range - mean) / (reach + 1.0 - mean) * (1 << 24));
  return rule;
}

class RotorReads final : public ScheduledReads {
 public:
  explicit RotorReads(const RotorCall& call)
      : call_(call),
        num_variables_(call.problem.num_variables()),
        angles_(num_variables_ * kLanes),
        spins_(num_variables_ * kLanes) {}

  std::size_t num_units() const override { return num_variables_; }

  void start(std::size_t first, std::size_t count) override {
    first_ = first;
    count_ = count;
    for (std::size_t i = 0; i < num_variables_; ++i) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t read = first + (lane < count ? lane : 0);
        const std::uint8_t angle = call_.angles[read * num_variables_ + i];
        angles_[i * kLanes + lane] = angle;
        spins_[i * kLanes + lane] = call_.tables.cosines[angle];
      }
    }
  }

  bool sweep(const PathFields& fields, const std::uint32_t* order, const StreamKey* keys,
             Stop& stop) override {
    const Ising& problem = call_.problem;
    const bool is_sparse = problem.form() == Ising::Form::kSparse;
    const RotorTile tile{.offsets = is_sparse ? problem.offsets() : nullptr,
                         .neighbours = is_sparse ? problem.neighbours() : nullptr,
                         .couplings = problem.couplings(),
                         .ld = problem.ld(),
                         .linear = problem.linear(),
                         .transverse = call_.transverse,
                         .cosines = call_.tables.cosines,
                         .sines = call_.tables.sines,
                         .angles = angles_.data(),
                         .spins = spins_.data(),
                         .num_variables = num_variables_};
    const RotorRule rule = rule_of(call_.dynamics, fields, problem.scale());
    const auto run = static_cast<std::size_t>(kRotorRun / (30.0 + problem.degree())) + 1;
    for (std::size_t first = 0; first < num_variables_; first += run) {
      if (stop.poll()) return false;
      call_.kernels.rotors.update(tile, order, first, std::min(num_variables_, first + run),
                                  call_.dynamics.acceptance, rule, keys);
    }
    return true;
  }

  void take_sample(std::size_t number) override {
    for (std::size_t r = 0; r < count_; ++r) {
      const std::size_t place = (first_ + r) * call_.num_samples + number;
      write_angles(r, call_.results.samples + place * num_variables_);
    }
  }

  void finish(const StreamKey* streams) override {
    for (std::size_t r = 0; r < count_; ++r) {
      std::uint8_t* angles = call_.results.angles + (first_ + r) * num_variables_;
      write_angles(r, angles);
      project_read(call_.kernels, call_.tables, streams[r], num_variables_, angles,
                   call_.results.spins + (first_ + r) * num_variables_);
    }
  }

 private:
  void write_angles(std::size_t lane, std::uint8_t* out) const {
    for (std::size_t i = 0; i < num_variables_; ++i) {
      out[i] = static_cast<std::uint8_t>(angles_[i * kLanes + lane]);
    }
  }

  const RotorCall& call_;
  const std::size_t num_variables_;
  Buffer<std::int32_t> angles_;
  Buffer<float> spins_;
  std::size_t first_ = 0, count_ = 0;
};

}  // namespace

void anneal_rotors(const KernelTable& kernels, const Ising& problem, const FieldSchedule& schedule,
                   const RotorDynamics& dynamics, const float* transverse, std::size_t num_reads,
                   const std::uint8_t* angles, const RotorResults& results, Stop& stop) {
  const std::size_t n = problem.num_variables(), num_samples = schedule.num_samples();
  std::fill_n(results.sweeps, num_reads, std::int64_t{0});
  std::copy_n(angles, num_reads * n, results.angles);
  std::fill_n(results.spins, num_reads * n, std::int8_t{1});
  std::fill_n(results.samples, num_reads * num_samples * n, std::uint8_t{0});
  if (n == 0 || num_reads == 0) return;
  const RotorCall call{kernels, problem, dynamics, transverse, angles, results, num_samples, {}};
  anneal_fields(
      schedule, num_reads, [&] { return std::make_unique<RotorReads>(call); }, results.sweeps,
      stop);
}

void project_angles(const KernelTable& kernels, std::uint64_t seed, std::size_t num_reads,
                    std::size_t n, const std::uint8_t* angles, std::int8_t* spins) {
  const AngleTables tables;
  for (std::size_t read = 0; read < num_reads; ++read) {
    project_read(kernels, tables, stream_key(seed, 0, read, kStartProjection), n, angles + read * n,
                 spins + read * n);
  }
}

}  // namespace qpsbgd
