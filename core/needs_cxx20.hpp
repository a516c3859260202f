// Ends a compilation of an older language with one sentence; included by the headers that all
// others rest on.
#pragma once

#if __cplusplus < 202002L
#error dualtape needs C++20: compile with -std=c++20, or in CMake link to dualtape::dualtape
// A file that is missing ends the compilation, and so what would follow the sentence.
#include <dualtape/core/is_written_in_cxx20.hpp>
#endif
