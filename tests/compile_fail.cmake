# Compiles SOURCE, which must fail with a message that its first line, "// expect: regex", matches.
# A source that mentions DUALTAPE_MENDED must compile where that macro is defined, which shows that
# nothing else is wrong with it.
set(command ${CMAKE_COMMAND} -E env LC_ALL=C ${CXX} -std=c++20 -fsyntax-only -I${INCLUDE})
file(STRINGS "${SOURCE}" first LIMIT_COUNT 1)
if(NOT first MATCHES "^// expect: (.+)$")
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
file(READ "${SOURCE}" content)
if(content MATCHES "DUALTAPE_MENDED")
  execute_process(COMMAND ${command} -DDUALTAPE_MENDED "${SOURCE}" RESULT_VARIABLE status
                  ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${SOURCE} fails even when mended:\n${text}")
  endif()
endif()
