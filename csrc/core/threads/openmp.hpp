// The OpenMP threads of other libraries in the process.
#pragma once

namespace qpsbgd {

// Sends the idle OpenMP threads of the calling thread to rest, if the process has an OpenMP library
// in its global scope, as PyTorch brings one. After a parallel region such threads spin for some
// milliseconds and take the processors that our threads need. The library's next region starts
// others. Does nothing within a parallel region, in a process that was forked without exec(), and
// on systems other than Linux.
//
// Source: OpenMP 5.0, section 3.2.44, omp_pause_resource_all.
void rest_openmp_threads();

}  // namespace qpsbgd
