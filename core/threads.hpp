// How many threads programs run on. Any thread may call these.
//
// All threads are those of one pool that the whole process shares; BLAS and oneDNN run inside it
// and start none of their own. A program that finds the pool in use by another runs on its own
// thread alone. Small graphs stay on one thread whatever is asked for: a step is divided only where
// that saves more time than it costs.
//
// Elementwise steps, reductions and random draws give the same bits on any number of threads,
// products the same bits from run to run on the same number.
#pragma once

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// How many threads the programs compiled from now on run on, unless CompileOptions says otherwise.
// Programs that exist already keep theirs. ValueError unless 1 <= threads <= 1024.
void set_num_threads(int threads);

// What was set last; before that what the environment variable DUALTAPE_NUM_THREADS asked for when
// first looked at, and 1 where it is not set or empty. ValueError if that is no number from 1 to
// 1024.
int num_threads();

}  // namespace dualtape
