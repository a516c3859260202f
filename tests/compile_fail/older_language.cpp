// expect: dualtape needs C\+\+20: compile with -std=c\+\+20
// lines: 20
// language: c++17
#include <dualtape/dualtape.hpp>
