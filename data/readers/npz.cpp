#include <dualtape/data/npz.hpp>

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <set>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/base/shown.hpp>
#include <dualtape/core/files/atomic_file.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/core/tensor/npy.hpp>
#include <dualtape/data/readers/bytes.hpp>

#ifdef DUALTAPE_LIBZIP
#include <zip.h>
#endif

namespace dualtape {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void complain(std::string_view op, const fs::path& path, Location here,
                           const std::string& what, const std::string& help = {}) {
  fail<DataError>({.op = op, .what = path.string() + what, .where = here, .help = help});
}

#ifdef DUALTAPE_LIBZIP

constexpr std::string_view suffix = ".npy";

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

struct CloseMember {
  void operator()(zip_file_t* member) const { zip_fclose(member); }
};

// What libzip says; std::bad_alloc where all that is wrong is that it had no memory.
std::string text_of(zip_error_t* error) {
  const int code = zip_error_code_zip(error);
  if (code == ZIP_ER_MEMORY ||
      (zip_error_system_type(error) == ZIP_ET_SYS && zip_error_code_system(error) == ENOMEM))
    throw std::bad_alloc();
  return zip_error_strerror(error);
}

std::string text_of(int code) {
  if (code == ZIP_ER_MEMORY) throw std::bad_alloc();
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = text_of(&error);
  zip_error_fini(&error);
  return text;
}

class Reader {
 public:
  Reader(const fs::path& path, const ReadLimits& limits, Location here) : path_(path), here_(here) {
    detail::ByteReader file("load_npz", path, here, detail::Packing::plain);
    size_ = *file.left();
    room_ = limits.bytes_for(size_);
    std::array<char, 4> start{};
    file.read(start.data(), start.size(), "the magic number of a zip archive");
    const std::string_view magic(start.data(), start.size());
    if (magic != std::string_view("PK\3\4") && magic != std::string_view("PK\5\6")) {
      file.fail_at(0, "expected the zip archive that an .npz file is, beginning with PK",
                   magic == "\x93NUM" ? "is it a single .npy? load_npy reads those" : "");
    }
    int code = 0;
    // The file that was looked at, whatever has come to stand at the path since. libzip closes its
    // own copy of the descriptor.
    detail::Descriptor same(::fcntl(file.descriptor(), F_DUPFD_CLOEXEC, 0));
    archive_.reset(zip_fdopen(same.number(), 0, &code));
    if (archive_ != nullptr) static_cast<void>(same.release());
    if (archive_ == nullptr) {
      // The list of the members is what a zip archive ends with.
      file.fail_at(size_,
                   "expected the archive's directory before the end, found none: " + text_of(code),
                   "was the file cut off?");
    }
  }

  std::vector<NamedTensor> all() {
    std::vector<NamedTensor> result;
    std::set<std::string, std::less<>> names;
    for (zip_uint64_t index = 0; index < count(); ++index) {
      std::string name = name_of(index);
      if (!names.insert(name).second) refuse(index, "", ": the name is there twice");
      Tensor tensor = load(index);
      result.push_back({std::move(name), std::move(tensor)});
    }
    return result;
  }

  Tensor one(std::string_view wanted) {
    std::vector<std::string> names;
    for (zip_uint64_t index = 0; index < count(); ++index) {
      names.push_back(name_of(index));
      if (names.back() == wanted) return load(index);
    }
    complain("load_npz", path_, here_, ": no array " + detail::in_quotes(wanted) + " in it",
             names.empty() ? "it holds none" : "it holds " + detail::names_listed(names));
  }

 private:
  zip_uint64_t count() const {
    return static_cast<zip_uint64_t>(
        std::max<zip_int64_t>(0, zip_get_num_entries(archive_.get(), 0)));
  }

  zip_stat_t stat(zip_uint64_t index) const {
    zip_stat_t result;
    zip_stat_init(&result);
    if (zip_stat_index(archive_.get(), index, 0, &result) != 0) {
      complain("load_npz", path_, here_,
               ": member " + std::to_string(index) + " of the archive: " + why());
    }
    return result;
  }
  std::string why() const { return text_of(zip_get_error(archive_.get())); }

  std::string member(zip_uint64_t index) const {
    const zip_stat_t found = stat(index);
    return ", member " + detail::in_quotes(found.name == nullptr ? "" : found.name);
  }
  [[noreturn]] void refuse(zip_uint64_t index, const std::string& where, const std::string& what,
                           const std::string& help = {}) const {
    complain("load_npz", path_, here_, member(index) + where + what, help);
  }

  std::string name_of(zip_uint64_t index) const {
    const zip_stat_t found = stat(index);
    const std::string_view name = found.name == nullptr ? "" : found.name;
    if (!name.ends_with(suffix)) refuse(index, "", ": expected a name that ends in .npy");
    return std::string(name.substr(0, name.size() - suffix.size()));
  }

  // Sizes that cannot be true are refused before anything is unpacked. Members that share their
  // bytes could pack any amount into a small file, so their packed sizes are added up.
  void check(zip_uint64_t index, const zip_stat_t& found) {
    constexpr zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((found.valid & needed) != needed) refuse(index, "", ": its entry is incomplete");
    if (found.encryption_method != ZIP_EM_NONE) refuse(index, "", ": expected no encryption");
    if (found.comp_method != ZIP_CM_STORE && found.comp_method != ZIP_CM_DEFLATE) {
      refuse(index, "",
             ": expected method 0 (stored) or 8 (deflated), found " +
                 std::to_string(found.comp_method));
    }
    const std::uint64_t room = size_ - claimed_;
    const std::uint64_t most = found.comp_method == ZIP_CM_STORE
                                   ? found.comp_size
                                   : detail::most_inflated(found.comp_size);
    if (found.comp_size > room || found.size > most) {
      refuse(index, "",
             ": claims " + std::to_string(found.size) + " bytes packed into " +
                 std::to_string(found.comp_size) + ", expected at most " + std::to_string(most) +
                 " in at most " + std::to_string(room) + " of the file's " + std::to_string(size_));
    }
    claimed_ += found.comp_size;
    expect_room(index, found.size);
  }

  void expect_room(zip_uint64_t index, std::uint64_t bytes) const {
    if (bytes <= room_) return;
    refuse(index, "",
           ": would bring what is unpacked beyond what a file of " + std::to_string(size_) +
               " bytes may take: it takes " + std::to_string(bytes) + " bytes, and " +
               std::to_string(room_) + " are left",
           "if you trust the file, give ReadLimits that allow more, or ReadLimits::none()");
  }

  Tensor load(zip_uint64_t index) {
    const zip_stat_t found = stat(index);
    check(index, found);
    const std::unique_ptr<zip_file_t, CloseMember> file(zip_fopen_index(archive_.get(), index, 0));
    if (file == nullptr) refuse(index, ", offset 0: ", why());
    std::uint64_t offset = 0;
    const auto read_some = [&](void* to, std::size_t bytes) -> std::size_t {
      std::size_t done = 0;
      while (done < bytes) {
        const zip_int64_t got =
            zip_fread(file.get(), static_cast<std::byte*>(to) + done, bytes - done);
        if (got < 0) {
          refuse(index, ", offset " + std::to_string(offset + done) + ": ",
                 text_of(zip_file_get_error(file.get())));
        }
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
      }
      offset += done;
      return done;
    };
    const std::vector<std::byte> bytes = detail::read_growing(found.size, read_some);
    std::byte more{};
    const bool longer = read_some(&more, 1) == 1;  // and the end is where the checksum is compared
    if (bytes.size() < found.size || longer) {
      refuse(index, ", offset " + std::to_string(bytes.size()) + ": ",
             "expected " + std::to_string(found.size) + " bytes, found " +
                 (longer ? "more" : std::to_string(bytes.size())));
    }
    return detail::parse_npy("load_npz", path_.string() + member(index), bytes, here_,
                             [&](std::uint64_t taken) {
                               expect_room(index, taken);
                               room_ -= taken;
                             });
  }

  fs::path path_;
  Location here_;
  std::uint64_t size_ = 0;
  std::uint64_t room_ = 0;  // bytes that may still be taken
  std::uint64_t claimed_ = 0;
  Archive archive_;
};

void check_names(const fs::path& path, std::span<const NamedTensor> tensors, Location here) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (name.empty() || name.find('\0') != std::string::npos) {
      complain("save_npz", path, here, ": a name is empty or holds a zero byte",
               "name each tensor");
    }
    if (!names.insert(name).second)
      complain("save_npz", path, here, ": the name '" + name + "' is there twice",
               "give tensors names of their own");
  }
  if (tensors.empty()) complain("save_npz", path, here, ": there are no tensors to save");
}

// One member: the header and the elements, which must live until the archive is closed.
void add(zip_t* archive, const fs::path& path, Location here, const std::string& header,
         const NamedTensor& named, Compression compression) {
  const auto& [name, tensor] = named;
  std::array<zip_buffer_fragment_t, 2> parts{};
  // libzip only reads what it is not told to free.
  parts[0] = {reinterpret_cast<zip_uint8_t*>(const_cast<char*>(header.data())), header.size()};
  parts[1] = {static_cast<zip_uint8_t*>(const_cast<void*>(tensor.raw())), tensor.bytes()};
  const zip_uint64_t used = tensor.bytes() > 0 ? 2 : 1;
  zip_source_t* source = zip_source_buffer_fragment(archive, parts.data(), used, 0);
  const std::string member = name + std::string(suffix);
  const zip_int64_t index =
      source == nullptr ? -1 : zip_file_add(archive, member.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    complain("save_npz", path, here, ": '" + name + "': " + text_of(zip_get_error(archive)));
  }
  const auto at = static_cast<zip_uint64_t>(index);
  const bool pack = compression == Compression::deflate;
  constexpr zip_uint16_t first_day = (1U << 5U) | 1U;  // 1980-01-01, the earliest a zip file knows
  if (zip_set_file_compression(archive, at, pack ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0 ||
      zip_file_set_dostime(archive, at, 0, first_day, 0) != 0) {
    complain("save_npz", path, here, ": '" + name + "': " + text_of(zip_get_error(archive)));
  }
}

#else

[[noreturn]] void without_libzip(std::string_view op, const fs::path& path, Location here) {
  complain(op, path, here, ": dualtape was built without libzip",
           "install libzip-dev and build again, or use .npy files");
}

#endif

}  // namespace

#ifdef DUALTAPE_LIBZIP

namespace {

// libzip's own messages of what went wrong with `source`.
[[noreturn]] void cannot_be_written(const fs::path& path, Location here, const std::string& why) {
  complain("save_npz", path, here, ": cannot be written: " + why);
}

struct FreeSource {
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Memory = std::unique_ptr<zip_source_t, FreeSource>;

std::vector<std::byte> bytes_of(zip_source_t* source, const fs::path& path, Location here) {
  const auto why = [&] { return text_of(zip_source_error(source)); };
  zip_stat_t found;
  zip_stat_init(&found);
  if (zip_source_stat(source, &found) != 0 || zip_source_open(source) != 0)
    cannot_be_written(path, here, why());
  std::vector<std::byte> bytes;
  try {
    bytes.resize(static_cast<std::size_t>(found.size));
  } catch (const std::bad_alloc&) {
    fail<MemoryError>({.op = "save_npz",
                       .what = path.string() + ": there is no memory for the " +
                               std::to_string(found.size) +
                               " bytes of the file, which is put together before it is written",
                       .where = here,
                       .help = "save fewer tensors in a file, or each with save_npy()"});
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const zip_int64_t got = zip_source_read(source, bytes.data() + done, bytes.size() - done);
    if (got <= 0) cannot_be_written(path, here, why());
    done += static_cast<std::size_t>(got);
  }
  zip_source_close(source);
  return bytes;
}

}  // namespace

std::vector<NamedTensor> load_npz(const fs::path& path, const ReadLimits& limits, Location here) {
  return detail::memory_for("load_npz", path, here,
                            [&] { return Reader(path, limits, here).all(); });
}

Tensor load_npz(const fs::path& path, std::string_view name, const ReadLimits& limits,
                Location here) {
  return detail::memory_for("load_npz", path, here,
                            [&] { return Reader(path, limits, here).one(name); });
}

void save_npz(const fs::path& path, std::span<const NamedTensor> tensors, Compression compression,
              Location here) {
  check_names(path, tensors, here);
  detail::require_listed("save_npz", "Compression", compression, 2,
                         "Compression::none or Compression::deflate", here);
  std::vector<std::string> headers;
  for (const auto& named : tensors)
    headers.push_back(detail::npy_header("save_npz", path, named.tensor, here));
  zip_error_t error;
  zip_error_init(&error);
  const Memory memory(zip_source_buffer_create(nullptr, 0, 0, &error));
  if (memory == nullptr) cannot_be_written(path, here, text_of(&error));
  zip_source_keep(memory.get());  // the archive frees its own hold on it
  Archive archive(zip_open_from_source(memory.get(), ZIP_TRUNCATE, &error));
  if (archive == nullptr) {
    zip_source_free(memory.get());
    cannot_be_written(path, here, text_of(&error));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i)
    add(archive.get(), path, here, headers[i], tensors[i], compression);
  if (zip_close(archive.get()) != 0)
    cannot_be_written(path, here, text_of(zip_get_error(archive.get())));
  static_cast<void>(archive.release());
  const std::vector<std::byte> bytes = bytes_of(memory.get(), path, here);
  const std::span<const std::byte> whole(bytes);
  detail::write_atomically("save_npz", path, std::span(&whole, 1), here);
}

#else

std::vector<NamedTensor> load_npz(const fs::path& path, const ReadLimits& /*limits*/,
                                  Location here) {
  without_libzip("load_npz", path, here);
}

Tensor load_npz(const fs::path& path, std::string_view /*name*/, const ReadLimits& /*limits*/,
                Location here) {
  without_libzip("load_npz", path, here);
}

void save_npz(const fs::path& path, std::span<const NamedTensor> /*tensors*/,
              Compression /*compression*/, Location here) {
  without_libzip("save_npz", path, here);
}

#endif

}  // namespace dualtape
