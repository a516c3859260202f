# Compiles SOURCE, which must fail with a message that its first line, "// expect: regex", matches.
# A source that mentions DUALTAPE_MENDED must compile where that macro is defined, which shows that
# nothing else is wrong with it. "// lines: 20" below the first line is the most that the compiler
# may say, not counting the lines of source that it quotes (newer ones quote more), and
# "// language: c++17" an older language to compile as.
file(READ "${SOURCE}" content)
set(language c++20)
if(content MATCHES "\n// language: ([^\n]+)")
  set(language "${CMAKE_MATCH_1}")
endif()
set(command ${CMAKE_COMMAND} -E env LC_ALL=C ${CXX} -std=${language} -fsyntax-only -I${INCLUDE})
if(NOT content MATCHES "^// expect: ([^\n]+)\n")
  message(FATAL_ERROR "${SOURCE}: the first line must read // expect: regex")
endif()
set(wanted "${CMAKE_MATCH_1}")
execute_process(COMMAND ${command} "${SOURCE}" RESULT_VARIABLE status OUTPUT_VARIABLE text
                ERROR_VARIABLE text)
if(status EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, but should fail with: ${wanted}")
endif()
if(NOT text MATCHES "${wanted}")
  message(FATAL_ERROR "${SOURCE} fails without saying '${wanted}':\n${text}")
endif()
if(content MATCHES "\n// lines: ([0-9]+)")
  set(most "${CMAKE_MATCH_1}")
  string(REGEX REPLACE "\n *[0-9]* \\|[^\n]*" "" said "${text}")
  string(REGEX MATCHALL "\n" ends "${said}")
  list(LENGTH ends lines)
  if(lines GREATER most)
    message(FATAL_ERROR "${SOURCE} fails with ${lines} lines, more than ${most}:\n${text}")
  endif()
endif()
if(content MATCHES "DUALTAPE_MENDED")
  execute_process(COMMAND ${command} -DDUALTAPE_MENDED "${SOURCE}" RESULT_VARIABLE status
                  ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${SOURCE} fails even when mended:\n${text}")
  endif()
endif()
