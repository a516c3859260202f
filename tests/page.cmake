# Holds the first ```cpp block of a page equal to the program it shows.
#   cmake -DPAGE=README.md -DPROGRAM=docs/examples/readme.cpp -P page.cmake
# The program's leading comment is not shown.
file(READ "${PAGE}" page)
file(READ "${PROGRAM}" program)
string(FIND "${page}" "```cpp\n" begin)
if(begin EQUAL -1)
  message(FATAL_ERROR "${PAGE} shows no C++")
endif()
math(EXPR begin "${begin} + 7")
string(SUBSTRING "${page}" ${begin} -1 shown)
string(FIND "${shown}" "```" end)
string(SUBSTRING "${shown}" 0 ${end} shown)
string(FIND "${program}" "#include" first)
string(SUBSTRING "${program}" ${first} -1 program)
if(NOT shown STREQUAL program)
  message(FATAL_ERROR "the code in ${PAGE} is not that of ${PROGRAM}:\n${shown}\n---\n${program}")
endif()
