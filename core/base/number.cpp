#include <dualtape/core/number.hpp>

#include <limits>
#include <string>

namespace dualtape {

bool Number::fits(DType dtype) const {
  if (kind_ != Kind::integer || dtype != int32) return true;
  return std::in_range<std::int32_t>(integer_);
}

DType Number::beside(DType other) const {
  switch (kind_) {
    case Kind::truth: return other;
    case Kind::integer: return other == boolean || !fits(other) ? int64 : other;
    default: return is_floating(other) ? other : float32;
  }
}

void Number::refuse_large(std::uint64_t value, Location where) {
  fail<ValueError>({.op = "literal",
                    .what = "the integer " + std::to_string(value) +
                            " is beyond int64, whose largest is " +
                            std::to_string(std::numeric_limits<std::int64_t>::max()),
                    .where = where,
                    .help = "write it as a floating number, such as 1.8e19, or wrap it yourself: "
                            "static_cast<std::int64_t>(...)"});
}

void Number::refuse(DType dtype) const {
  fail<ValueError>({.op = "literal",
                    .what = "the integer " + std::to_string(integer_) + " does not fit " +
                            std::string(name_of(dtype)),
                    .where = where_,
                    .help = "use dt::int64"});
}

}  // namespace dualtape
