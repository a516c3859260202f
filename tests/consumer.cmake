# Installs the build under BUILD into a prefix of its own, then configures, builds and runs the
# project in SOURCE against that copy.
set(work "${BUILD}/consumer")
file(REMOVE_RECURSE "${work}")
function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed:\n${text}")
  endif()
  message(STATUS "${what}: done")
endfunction()
step("install" ${CMAKE_COMMAND} --install "${BUILD}" --config "${CONFIG}" --prefix "${work}/prefix")
# The copy must stand alone, so no file of it may point back into the build or source tree.
file(GLOB_RECURSE installed "${work}/prefix/*.cmake" "${work}/prefix/*.pc" "${work}/prefix/*.hpp")
get_filename_component(tree "${SOURCE}/../.." ABSOLUTE)
foreach(file IN LISTS installed)
  file(READ "${file}" content)
  string(FIND "${content}" "${tree}/" place)
  if(NOT place EQUAL -1)
    message(FATAL_ERROR "${file} names the source tree")
  endif()
endforeach()
step("configure" ${CMAKE_COMMAND} -S "${SOURCE}" -B "${work}/build" -G "${GENERATOR}"
     "-DCMAKE_PREFIX_PATH=${work}/prefix" "-DCMAKE_BUILD_TYPE=${CONFIG}"
     "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_CXX_FLAGS=${FLAGS}"
     "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}")
step("build" ${CMAKE_COMMAND} --build "${work}/build" --config "${CONFIG}")
step("run" ${CMAKE_CTEST_COMMAND} --test-dir "${work}/build" -C "${CONFIG}" --output-on-failure
     --no-tests=error)
