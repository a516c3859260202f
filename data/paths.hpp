// Where data files are found: the user's own folder, the source tree, the installed copy.
// Any thread may call, as long as none changes the environment at the same time.
#pragma once

#include <filesystem>
#include <string_view>

namespace dualtape {

// The full path of a data file such as "iris/iris.csv". Looks in the folder that the environment
// variable DUALTAPE_DATA names, then in the source tree the library was built from, then in the
// installed share/dualtape/data; the first place that has the file wins. Throws DataError, which
// lists every place looked at, where none has it.
std::filesystem::path find_data(std::string_view relative);

}  // namespace dualtape
