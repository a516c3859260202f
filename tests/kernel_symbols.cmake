# Checks that what the object files OBJECTS (separated by |) share with others is named after their
# instruction set ISA: of an inline function compiled for several, the linker keeps any one, and a
# processor without AVX must not be given the one with AVX. NM lists symbols.
cmake_minimum_required(VERSION 3.22)
# How xsimd names its versions, and Lane by number (core/machine/lane.hpp).
set(tag_avx2 "avx2")
set(tag_avx512 "avx512")
# Left over from xsimd's reduction of large angles, which Lane's functions never reach; and the
# compiler's own.
set(harmless "rem_pio2|^DW\\.ref|__clang_call_terminate|GLOBAL__")

string(REPLACE "|" ";" objects "${OBJECTS}")
set(wrong "")
set(count 0)
foreach(object IN LISTS objects)
  execute_process(COMMAND "${NM}" -C "${object}" OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${NM} cannot read ${object}")
  endif()
  string(REPLACE ";" "," symbols "${symbols}")
  string(REPLACE "[" "(" symbols "${symbols}")
  string(REPLACE "]" ")" symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    math(EXPR count "${count} + 1")
    # Weak or unique: may be merged with one of another file.
    if(symbol MATCHES "^[0-9a-f]+ [WVu] (.*)$")
      set(name "${CMAKE_MATCH_1}")
      if(NOT name MATCHES "${tag_${ISA}}" AND NOT name MATCHES "${harmless}" AND
         NOT name MATCHES "Lane[A-Za-z]*<(float|double), [1-9][0-9]+u>")
        list(APPEND wrong "${object}: ${name}")
      endif()
    endif()
  endforeach()
endforeach()
if(count EQUAL 0)
  list(APPEND wrong "no symbols in ${OBJECTS}")
endif()
if(wrong)
  list(JOIN wrong "\n" wrong)
  message(FATAL_ERROR "give these internal linkage or put them in namespace DUALTAPE_ISA:\n${wrong}")
endif()
message(STATUS "${count} symbols, none shared")
