#include <dualtape/core/dtype.hpp>

#include <ostream>
#include <string>

#include <dualtape/core/error.hpp>

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

void detail::refuse_dtype(std::string_view function, DType dtype, Location where) {
  fail<TypeError>(
      {.op = function,
       .what = "there is no dtype of the number " + std::to_string(static_cast<int>(dtype)),
       .where = where,
       .help = "dt::boolean, dt::int32, dt::int64, dt::float32 or dt::float64"});
}

std::size_t size_of(DType dtype) {
  if (!is_dtype(dtype)) detail::refuse_dtype("size_of", dtype, {});
  return dispatch(dtype, []<class T>() { return sizeof(T); });
}

}  // namespace dualtape
