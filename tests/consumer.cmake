# Installs the build under BUILD into a prefix of its own, moves that, then configures, builds and
# runs the project in SOURCE against it; and configures it with the source tree as a part of it.
cmake_minimum_required(VERSION 3.22)
set(work "${BUILD}/consumer")
file(REMOVE_RECURSE "${work}")
function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed:\n${text}")
  endif()
  message(STATUS "${what}: done")
endfunction()
get_filename_component(tree "${SOURCE}/../.." ABSOLUTE)
file(COPY "${tree}/docs/examples/readme.cpp" DESTINATION "${work}")

step("install" ${CMAKE_COMMAND} --install "${BUILD}" --config "${CONFIG}" --component dualtape
     --prefix "${work}/first")
file(RENAME "${work}/first" "${work}/prefix")
# The copy must stand alone, so no file of it may point back into the build or source tree, nor to
# where it was first.
file(GLOB_RECURSE installed "${work}/prefix/*.cmake" "${work}/prefix/*.pc" "${work}/prefix/*.hpp")
foreach(file IN LISTS installed)
  file(READ "${file}" content)
  foreach(folder "${tree}" "${BUILD}" "${work}/first")
    string(FIND "${content}" "${folder}/" place)
    string(FIND "${content}" "${folder}\"" end)
    if(NOT place EQUAL -1 OR NOT end EQUAL -1)
      message(FATAL_ERROR "${file} names ${folder}")
    endif()
  endforeach()
endforeach()
foreach(name iris/iris.csv iris/LICENSE digits/digits.csv penguins/penguins_raw.csv)
  if(NOT EXISTS "${work}/prefix/share/dualtape/data/${name}")
    message(FATAL_ERROR "the data file ${name} is not installed")
  endif()
endforeach()
set(project -S "${SOURCE}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}"
    "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DWERROR=${WERROR}"
    "-DREADME=${work}/readme.cpp")
step("configure" ${CMAKE_COMMAND} ${project} -B "${work}/build"
     "-DCMAKE_PREFIX_PATH=${work}/prefix" "-DCMAKE_BUILD_TYPE=${CONFIG}")
step("build" ${CMAKE_COMMAND} --build "${work}/build" --config "${CONFIG}")
# With none of the user's own data sets.
step("run" ${CMAKE_COMMAND} -E env --unset=DUALTAPE_DATA "HOME=${work}" "XDG_CACHE_HOME=${work}"
     ${CMAKE_CTEST_COMMAND} --test-dir "${work}/build" -C "${CONFIG}" --output-on-failure
     --no-tests=error)

# How the library would be compiled as a part of the project, which names no build type.
foreach(way folder fetched)
  step("configure with dualtape ${way}" ${CMAKE_COMMAND} -E env --unset=CMAKE_BUILD_TYPE
       ${CMAKE_COMMAND} ${project} -B "${work}/${way}" "-DWAY=${way}" "-DTREE=${tree}"
       -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
  file(READ "${work}/${way}/compile_commands.json" commands)
  string(JSON count LENGTH "${commands}")
  math(EXPR last "${count} - 1")
  set(of_library 0)
  foreach(i RANGE ${last})
    string(JSON file GET "${commands}" ${i} file)
    string(JSON command GET "${commands}" ${i} command)
    if(file MATCHES "^${tree}/(core|ops|modes|models|data)/")
      math(EXPR of_library "${of_library} + 1")
      if(NOT command MATCHES " -O3 " OR NOT command MATCHES "-DNDEBUG " OR command MATCHES "-Werror")
        message(FATAL_ERROR "without a build type the library is compiled by ${command}")
      endif()
    elseif(file MATCHES "^${tree}/(tests|docs)/" AND NOT file MATCHES "^${SOURCE}/")
      message(FATAL_ERROR "a part of somebody's project, dualtape builds ${file}")
    endif()
  endforeach()
  if(of_library LESS 100)
    message(FATAL_ERROR "only ${of_library} of the library's files are compiled")
  endif()
endforeach()
