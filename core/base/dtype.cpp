#include <dualtape/core/dtype.hpp>

#include <ostream>

namespace dualtape {

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

static_assert(sizeof(bool) == 1, "tensors store a bool in one byte, as NumPy does");

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return "bool";
    case DType::int32: return "int32";
    case DType::int64: return "int64";
    case DType::float32: return "float32";
    case DType::float64: return "float64";
  }
  return "no dtype";
}

std::size_t size_of(DType dtype) {
  return dispatch(dtype, []<class T>() { return sizeof(T); });
}

}  // namespace dualtape
