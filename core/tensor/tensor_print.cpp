// Printing as NumPy does: its defaults of precision 8, line width 75, and more than 1000 elements
// shortened to 3 at either edge.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <dualtape/core/tensor.hpp>
#include <type_traits>

namespace dualtape {
namespace {

constexpr std::size_t precision = 8;
constexpr std::size_t line_width = 75;
constexpr std::int64_t threshold = 1000;
constexpr std::int64_t edge_items = 3;
constexpr std::string_view dots = "...";

std::string padded_left(std::string text, std::size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

// A number cut at its point: "-12" and "5" of -12.5, and the exponent with its sign, if any.
struct Digits {
  std::string whole;
  std::string fraction;
  char exponent_sign = '+';
  std::string exponent;
};

Digits cut(std::string_view text) {
  Digits digits;
  if (const std::size_t e = text.find('e'); e != std::string_view::npos) {
    digits.exponent_sign = text[e + 1];
    digits.exponent = text.substr(e + 2);
    text = text.substr(0, e);
  }
  const std::size_t point = text.find('.');
  digits.whole = text.substr(0, point);
  if (point != std::string_view::npos) digits.fraction = text.substr(point + 1);
  return digits;
}

template <std::floating_point T>
Digits convert(T value, std::chars_format format) {
  std::array<char, 512> buffer;  // the longest double takes 309 digits and 17 zeros
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, format).ptr;
  return cut({buffer.data(), end});
}

// The fewest digits that read back as the same number; zeros follow where they end before the
// point (16777218 and the like: to_chars would give all digits of the float).
template <std::floating_point T>
Digits shortest(T value, std::chars_format format) {
  if (format == std::chars_format::scientific || std::abs(value) < T{1e7}) {
    return convert(value, format);
  }
  Digits digits = convert(value, std::chars_format::scientific);
  const std::size_t places = std::stoul(digits.exponent);
  if (digits.fraction.size() > places) return convert(value, format);
  digits.fraction.resize(places, '0');
  return {.whole = digits.whole + digits.fraction, .fraction = "", .exponent = ""};
}

// The same, but at most `precision` digits after the point.
template <std::floating_point T>
Digits rounded(T value, std::chars_format format) {
  Digits digits = shortest(value, format);
  if (digits.fraction.size() <= precision) return digits;
  std::array<char, 512> buffer;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), value, format, static_cast<int>(precision)).ptr;
  digits = cut({buffer.data(), end});
  digits.fraction.erase(digits.fraction.find_last_not_of('0') + 1);
  return digits;
}

template <std::floating_point T>
std::string not_finite(T value) {
  if (std::isnan(value)) return "nan";
  return value < 0 ? "-inf" : "inf";
}

// Columns of floats: points aligned, one notation for all of them.
template <class T>
class FloatFormat {
 public:
  explicit FloatFormat(const std::vector<T>& shown) {
    choose_notation(shown);
    std::size_t widest_special = 0;
    for (const T value : shown) {
      if (!std::isfinite(value)) {
        widest_special = std::max(widest_special, not_finite(value).size());
        continue;
      }
      const Digits digits = rounded(value, notation());
      left_ = std::max(left_, digits.whole.size());
      fraction_ = std::max(fraction_, digits.fraction.size());
      exponent_ = std::max(exponent_, digits.exponent.size());
    }
    if (widest_special > right() + 1) left_ = std::max(left_, widest_special - right() - 1);
  }

  std::string operator()(T value) const {
    if (!std::isfinite(value)) return padded_left(not_finite(value), left_ + right() + 1);
    Digits digits = rounded(value, notation());
    digits.fraction.resize(fraction_, scientific_ ? '0' : ' ');
    std::string text = padded_left(digits.whole, left_) + '.' + digits.fraction;
    if (scientific_) {
      const std::size_t zeros = exponent_ - digits.exponent.size();
      text += std::string("e") + digits.exponent_sign + std::string(zeros, '0') + digits.exponent;
    }
    return text;
  }

 private:
  // Scientific from 1e8 on, below 1e-4, or where the sizes differ by more than 1000 times.
  void choose_notation(const std::vector<T>& shown) {
    T smallest = 0;
    T largest = 0;
    for (const T value : shown) {
      const T size = std::abs(value);
      if (!std::isfinite(value) || size == 0) continue;
      smallest = largest == 0 ? size : std::min(smallest, size);
      largest = std::max(largest, size);
    }
    scientific_ =
        largest > 0 && (largest >= static_cast<T>(1e8) || smallest < static_cast<T>(1e-4) ||
                        largest / smallest > static_cast<T>(1000));
  }
  std::chars_format notation() const {
    return scientific_ ? std::chars_format::scientific : std::chars_format::fixed;
  }
  // Characters after the point.
  std::size_t right() const { return fraction_ + (scientific_ ? exponent_ + 2 : 0); }

  bool scientific_ = false;
  std::size_t left_ = 0;
  std::size_t fraction_ = 0;
  std::size_t exponent_ = 0;
};

template <class T>
class PlainFormat {
 public:
  explicit PlainFormat(const std::vector<T>& shown) {
    for (const T value : shown) width_ = std::max(width_, text_of(value).size());
    if constexpr (std::same_as<T, bool>) width_ = 5;  // " True" beside "False"
  }
  std::string operator()(T value) const { return padded_left(text_of(value), width_); }

  static std::string text_of(T value) {
    if constexpr (std::same_as<T, bool>) {
      return value ? "True" : "False";
    } else {
      return std::to_string(value);
    }
  }

 private:
  std::size_t width_ = 0;
};

template <class T>
using Format = std::conditional_t<std::floating_point<T>, FloatFormat<T>, PlainFormat<T>>;

// The elements in their brackets, line by line.
template <class T>
class Printer {
 public:
  explicit Printer(const Tensor& tensor)
      : shape_(tensor.shape()),
        data_(tensor.data<T>()),
        shorten_(tensor.count() > threshold),
        format_(shown()) {}

  std::string text() const {
    return axis(0, 0, shape_.rank() == 0 ? 0 : shape_.count() / shape_[0]);
  }

 private:
  bool shortened(std::size_t axis) const { return shorten_ && shape_[axis] > 2 * edge_items; }

  // Calls f(index) for the indices of an axis that are printed, gap() where some are left out.
  template <class F, class G>
  void each(std::size_t axis, F&& f, G&& gap) const {
    const std::int64_t size = shape_[axis];
    const std::int64_t head = shortened(axis) ? edge_items : size;
    for (std::int64_t i = 0; i < head; ++i) f(i);
    if (head == size) return;
    gap();
    for (std::int64_t i = size - edge_items; i < size; ++i) f(i);
  }

  std::vector<T> shown() const {
    std::vector<T> found;
    collect(0, 0, shape_.count(), found);
    return found;
  }
  void collect(std::size_t axis, std::int64_t offset, std::int64_t block,
               std::vector<T>& found) const {
    if (axis == shape_.rank()) {
      found.push_back(data_[static_cast<std::size_t>(offset)]);
      return;
    }
    const std::int64_t inner = block / shape_[axis];
    each(
        axis, [&](std::int64_t i) { collect(axis + 1, offset + i * inner, inner, found); }, [] {});
  }

  // The block of `axis` that begins at `offset`; its entries are `inner` elements apart.
  std::string axis(std::size_t axis_index, std::int64_t offset, std::int64_t inner) const {
    if (axis_index + 1 == shape_.rank()) return line(axis_index, offset);
    const std::string indent(axis_index + 1, ' ');
    const std::string separator(shape_.rank() - axis_index - 1, '\n');
    const std::int64_t next = inner / shape_[axis_index + 1];
    std::string text;
    const auto add = [&](const std::string& part) {
      text += text.empty() ? "[" : separator + indent;
      text += part;
    };
    each(
        axis_index, [&](std::int64_t i) { add(axis(axis_index + 1, offset + i * inner, next)); },
        [&] { add(std::string(dots)); });
    return text + "]";
  }

  // The last axis, wrapped where a line would grow too long for its closing brackets.
  std::string line(std::size_t axis_index, std::int64_t offset) const {
    const std::string indent(axis_index + 1, ' ');
    const std::size_t width = line_width - std::min(line_width, axis_index + 1);
    std::string done;
    std::string line = indent;
    const auto add = [&](std::string_view word) {
      if (line.size() + word.size() > width && line.size() > indent.size()) {
        line.erase(line.find_last_not_of(' ') + 1);
        done += line + '\n';
        line = indent;
      }
      line += word;
      line += ' ';
    };
    each(
        axis_index,
        [&](std::int64_t i) { add(format_(data_[static_cast<std::size_t>(offset + i)])); },
        [&] { add(dots); });
    line.pop_back();
    return "[" + (done + line).substr(indent.size()) + "]";
  }

  const Shape& shape_;
  std::span<const T> data_;
  bool shorten_;
  Format<T> format_;
};

// Rank 0 prints as Python's numbers do: 2.0, 1e-05, 1.5e+16.
template <class T>
std::string scalar_text(T value) {
  if constexpr (std::floating_point<T>) {
    if (!std::isfinite(value)) return not_finite(value);
    const double size = std::abs(static_cast<double>(value));
    if (size == 0 || (size >= 1e-4 && size < 1e16)) {
      const Digits digits = shortest(value, std::chars_format::fixed);
      return digits.whole + '.' + (digits.fraction.empty() ? "0" : digits.fraction);
    }
    const Digits digits = shortest(value, std::chars_format::scientific);
    const std::string fraction = digits.fraction.empty() ? "" : '.' + digits.fraction;
    return digits.whole + fraction + 'e' + digits.exponent_sign + digits.exponent;
  } else {
    return PlainFormat<T>::text_of(value);
  }
}

}  // namespace

std::string to_string(const Tensor& tensor) {
  if (tensor.count() == 0) return "[]";
  return dispatch(tensor.dtype(), [&]<class T>() -> std::string {
    if (tensor.rank() == 0) return scalar_text(tensor.data<T>().front());
    return Printer<T>(tensor).text();
  });
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << to_string(tensor);
}

}  // namespace dualtape
