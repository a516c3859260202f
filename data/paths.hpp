// Where data files are found: the user's own folder, the source tree, the installed copy.
// Any thread may call, as long as none changes the environment at the same time.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string_view>

#include <dualtape/core/error.hpp>

namespace dualtape {

// The full path of a data file such as "iris/iris.csv". Looks in the folder that the environment
// variable DUALTAPE_DATA names, then in the source tree the library was built from, then in the
// installed share/dualtape/data, in data_cache(), and in /usr/share/datasets, where Debian's
// packages of data sets lie; the first place that has the file wins. Throws DataError, which lists
// every place looked at, where none has it.
std::filesystem::path find_data(std::string_view relative, Location here = Location::current());
// The same where a file may go by several names: the first place that has one of them.
std::filesystem::path find_data(std::initializer_list<std::string_view> names,
                                Location here = Location::current());

// Where downloaded data sets are kept: $XDG_CACHE_HOME/dualtape, or ~/.cache/dualtape; empty where
// neither variable is set.
std::filesystem::path data_cache();

}  // namespace dualtape
