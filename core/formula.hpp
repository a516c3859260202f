// The formula recorder: writes an elementwise operator's generic formula down as a short program.
//
// An author writes `static auto formula(auto x) { return x / (1 + abs(x)); }`. Called once with
// Recorded in place of numbers it leaves a Recording: straight-line code over the primitives below,
// from which come the operator's kernel, fusion and its derived partials. Recording is thread-safe
// (each thread has its own recorder; recordings nest); a Recording is a plain value.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// The primitives. name_of() gives the enumerator's name, which is the name of the graph operator
// that does the same, so a recording can be replayed as graph nodes. Exceptions: `select` is the
// graph operator "where"; `constant` and `input` are operands, not operators.
enum class Prim : std::uint8_t {
  constant,
  input,
  // one number -> number
  neg,
  abs,
  sqrt,
  exp,
  expm1,
  log,
  log1p,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  erf,
  erfc,
  normal_cdf,
  sigmoid,
  floor,
  ceil,
  round,  // half to even
  trunc,
  // two numbers -> number
  add,
  sub,
  mul,
  div,
  pow,
  atan2,
  hypot,
  exp_product,  // e^(ab), the product not rounded
  mod,          // sign of the second
  minimum,      // NaN if either is
  maximum,      // NaN if either is
  // two numbers -> mask
  less,
  less_equal,
  greater,
  greater_equal,
  equal,
  not_equal,
  // one number -> mask
  isnan,
  isfinite,
  // masks -> mask
  logical_and,
  logical_or,
  logical_not,
  // mask, number, number -> number; or mask, mask, mask -> mask
  select,
};
inline constexpr std::size_t prim_count = static_cast<std::size_t>(Prim::select) + 1;

std::string_view name_of(Prim prim);

// Number of operands that are steps: 0 to 3.
constexpr std::size_t operand_count(Prim prim) {
  if (prim <= Prim::input) return 0;
  if (prim == Prim::select) return 3;
  const bool two = (prim >= Prim::add && prim <= Prim::not_equal) || prim == Prim::logical_and ||
                   prim == Prim::logical_or;
  return two ? 2 : 1;
}

enum class InputKind : std::uint8_t { number, mask };

// A formula as straight-line code. Every step is needed by the last one, which is the result; no
// two steps compute the same thing.
struct Recording {
  struct Step {
    Prim prim = Prim::constant;
    std::uint16_t a = 0;    // operands: indices of earlier steps; for `input`, which input
    std::uint16_t b = 0;    //
    std::uint16_t c = 0;    //
    double constant = 0.0;  // for `constant`
    bool mask = false;      // this step's value is a mask
    friend bool operator==(const Step& x, const Step& y);  // constants by their bits
  };
  std::vector<Step> steps;
  std::uint16_t inputs = 0;  // inputs the formula takes; some may go unused
  bool mask_result = false;
  std::vector<InputKind> kinds;  // of the inputs

  friend bool operator==(const Recording&, const Recording&) = default;
};

// One step a line: "%2 = div %0 %1". For people; the last line is the result.
std::string to_string(const Recording& recording);

class Recorded;
class RecordedMask;

namespace detail {

// One recording in progress on this thread; the innermost one receives the steps.
class Recorder {
 public:
  explicit Recorder(std::span<const InputKind> kinds);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder();

  template <InputKind Kind>
  auto input(std::size_t index);
  // What the formula returned; drops the steps it does not need.
  Recording finish(const Recorded& result) const;
  Recording finish(const RecordedMask& result) const;

 private:
  friend class dualtape::Recorded;
  friend class dualtape::RecordedMask;
  // A step of some recorder; `owner` tells apart values kept from another recording.
  struct Value {
    std::uint64_t owner = 0;
    std::uint16_t step = 0;
  };
  using Key = std::array<std::uint64_t, 5>;

  static Recorder& current();  // GraphError if this thread records nothing
  static Value constant(double value);
  static Value apply(Prim prim, bool mask, std::initializer_list<Value> operands);
  Value add(const Recording::Step& step);
  std::uint16_t own(Value value) const;  // GraphError if it is another recorder's
  Recording finish(Value result) const;

  Recording code_;
  std::map<Key, std::uint16_t> known_;
  std::uint64_t serial_;
  Recorder* outer_;
};

}  // namespace detail

template <class T>
concept Literal = std::is_arithmetic_v<T> && !std::same_as<T, bool>;

// The truth value of a comparison while a formula is recorded. It is no bool: choose with
// select(mask, a, b), combine with & | !.
class RecordedMask {
  using R = detail::Recorder;

 public:
  friend RecordedMask operator&(RecordedMask a, RecordedMask b) {
    return RecordedMask(Prim::logical_and, {a.value_, b.value_});
  }
  friend RecordedMask operator|(RecordedMask a, RecordedMask b) {
    return RecordedMask(Prim::logical_or, {a.value_, b.value_});
  }
  friend RecordedMask operator!(RecordedMask a) {
    return RecordedMask(Prim::logical_not, {a.value_});
  }
  friend RecordedMask select(RecordedMask mask, RecordedMask a, RecordedMask b) {
    return RecordedMask(Prim::select, {mask.value_, a.value_, b.value_});
  }
  inline friend Recorded select(RecordedMask mask, Recorded a, Recorded b);
  // These, and for `if` and ?: the conversion, are there to say what stands for them.
  template <std::same_as<RecordedMask> Mask>
  friend Mask operator&&(Mask a, Mask) {
    static_assert(
        !std::same_as<Mask, RecordedMask>,
        "dualtape: a formula has no && : join conditions by &, as in `(a < b) & (b < c)`");
    return a;
  }
  template <std::same_as<RecordedMask> Mask>
  friend Mask operator||(Mask a, Mask) {
    static_assert(
        !std::same_as<Mask, RecordedMask>,
        "dualtape: a formula has no || : join conditions by |, as in `(a < b) | (b < c)`");
    return a;
  }
  template <std::same_as<bool> Bool>
  explicit operator Bool() const {
    static_assert(!std::same_as<Bool, bool>,
                  "dualtape: a formula has no if and no ?: write `select(x > 0, a, b)` in place of "
                  "`x > 0 ? a : b`, and join conditions by & | !");
    return false;
  }

 private:
  friend class Recorded;
  friend class detail::Recorder;
  explicit RecordedMask(R::Value value) : value_(value) {}
  RecordedMask(Prim prim, std::initializer_list<R::Value> operands)
      : value_(R::apply(prim, true, operands)) {}
  R::Value value_;
};

// Operands of an operator in a formula: numbers of it, one of which may be a literal. That these
// match exactly keeps the conversion to double, below, out of the choice.
template <class A, class B>
concept FormulaOperands = (std::same_as<A, Recorded> &&
                           (std::same_as<B, Recorded> || Literal<B>)) ||
                          (Literal<A> && std::same_as<B, Recorded>);

// A number while a formula is recorded. Mixes with literals: 1 + x, maximum(x, 0).
class Recorded {
  using R = detail::Recorder;

 public:
  // A literal of the formula. GraphError outside a recording.
  template <Literal T>
  Recorded(T value) : value_(R::constant(static_cast<double>(value))) {}

  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded operator+(A a, B b) { return number(Prim::add, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded operator-(A a, B b) { return number(Prim::sub, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded operator*(A a, B b) { return number(Prim::mul, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded operator/(A a, B b) { return number(Prim::div, Recorded(a), Recorded(b)); }
  friend Recorded operator-(Recorded a) { return number(Prim::neg, a); }
  friend Recorded operator+(Recorded a) { return a; }
  Recorded& operator+=(Recorded b) { return *this = *this + b; }
  Recorded& operator-=(Recorded b) { return *this = *this - b; }
  Recorded& operator*=(Recorded b) { return *this = *this * b; }
  Recorded& operator/=(Recorded b) { return *this = *this / b; }

  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator<(A a, B b) { return mask(Prim::less, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator<=(A a, B b) {
    return mask(Prim::less_equal, Recorded(a), Recorded(b));
  }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator>(A a, B b) { return mask(Prim::greater, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator>=(A a, B b) {
    return mask(Prim::greater_equal, Recorded(a), Recorded(b));
  }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator==(A a, B b) { return mask(Prim::equal, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend RecordedMask operator!=(A a, B b) {
    return mask(Prim::not_equal, Recorded(a), Recorded(b));
  }
  friend RecordedMask isnan(Recorded x) { return mask(Prim::isnan, x); }
  friend RecordedMask isfinite(Recorded x) { return mask(Prim::isfinite, x); }

  friend Recorded abs(Recorded x) { return number(Prim::abs, x); }
  friend Recorded sqrt(Recorded x) { return number(Prim::sqrt, x); }
  friend Recorded exp(Recorded x) { return number(Prim::exp, x); }
  friend Recorded expm1(Recorded x) { return number(Prim::expm1, x); }
  friend Recorded log(Recorded x) { return number(Prim::log, x); }
  friend Recorded log1p(Recorded x) { return number(Prim::log1p, x); }
  friend Recorded sin(Recorded x) { return number(Prim::sin, x); }
  friend Recorded cos(Recorded x) { return number(Prim::cos, x); }
  friend Recorded tan(Recorded x) { return number(Prim::tan, x); }
  friend Recorded asin(Recorded x) { return number(Prim::asin, x); }
  friend Recorded acos(Recorded x) { return number(Prim::acos, x); }
  friend Recorded atan(Recorded x) { return number(Prim::atan, x); }
  friend Recorded sinh(Recorded x) { return number(Prim::sinh, x); }
  friend Recorded cosh(Recorded x) { return number(Prim::cosh, x); }
  friend Recorded tanh(Recorded x) { return number(Prim::tanh, x); }
  friend Recorded asinh(Recorded x) { return number(Prim::asinh, x); }
  friend Recorded acosh(Recorded x) { return number(Prim::acosh, x); }
  friend Recorded atanh(Recorded x) { return number(Prim::atanh, x); }
  friend Recorded erf(Recorded x) { return number(Prim::erf, x); }
  friend Recorded erfc(Recorded x) { return number(Prim::erfc, x); }  // 1 - erf(x)
  friend Recorded normal_cdf(Recorded x) { return number(Prim::normal_cdf, x); }
  friend Recorded sigmoid(Recorded x) { return number(Prim::sigmoid, x); }  // 1 / (1 + e^-x)
  friend Recorded floor(Recorded x) { return number(Prim::floor, x); }
  friend Recorded ceil(Recorded x) { return number(Prim::ceil, x); }
  friend Recorded round(Recorded x) { return number(Prim::round, x); }
  friend Recorded trunc(Recorded x) { return number(Prim::trunc, x); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded pow(A a, B b) { return number(Prim::pow, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded atan2(A a, B b) { return number(Prim::atan2, Recorded(a), Recorded(b)); }
  template <class A, class B>
  requires FormulaOperands<A, B>
  friend Recorded hypot(A a, B b) { return number(Prim::hypot, Recorded(a), Recorded(b)); }
  friend Recorded exp_product(Recorded a, Recorded b) { return number(Prim::exp_product, a, b); }
  friend Recorded mod(Recorded a, Recorded b) { return number(Prim::mod, a, b); }
  friend Recorded minimum(Recorded a, Recorded b) { return number(Prim::minimum, a, b); }
  friend Recorded maximum(Recorded a, Recorded b) { return number(Prim::maximum, a, b); }

  friend Recorded square(Recorded x) { return x * x; }
  friend Recorded reciprocal(Recorded x) { return 1 / x; }

  // For std::tanh(x) and the like alone, to say what stands for them.
  template <std::same_as<double> Double>
  operator Double() const {
    static_assert(!std::same_as<Double, double>,
                  "dualtape: a formula's numbers are no doubles: drop `std::`, as in `tanh(x)` in "
                  "place of `std::tanh(x)`, and keep them as `auto`");
    return 0;
  }

 private:
  friend class RecordedMask;
  friend class detail::Recorder;
  friend Recorded select(RecordedMask mask, Recorded a, Recorded b);
  explicit Recorded(R::Value value) : value_(value) {}
  Recorded(Prim prim, std::initializer_list<R::Value> operands)
      : value_(R::apply(prim, false, operands)) {}
  template <class... Operands>
  static Recorded number(Prim prim, Operands... operands) {
    return Recorded(prim, {operands.value_...});
  }
  template <class... Operands>
  static RecordedMask mask(Prim prim, Operands... operands) {
    return RecordedMask(prim, {operands.value_...});
  }
  R::Value value_;
};

inline Recorded select(RecordedMask mask, Recorded a, Recorded b) {
  return Recorded(Prim::select, {mask.value_, a.value_, b.value_});
}

namespace detail {

template <InputKind Kind>
auto Recorder::input(std::size_t index) {
  Recording::Step step;
  step.prim = Prim::input;
  step.a = static_cast<std::uint16_t>(index);
  step.mask = Kind == InputKind::mask;
  if constexpr (Kind == InputKind::mask) {
    return RecordedMask(add(step));
  } else {
    return Recorded(add(step));
  }
}

template <InputKind... Kinds, class F, std::size_t... I>
Recording record_kinds(F&& formula, std::index_sequence<I...>) {
  static constexpr std::array<InputKind, sizeof...(Kinds)> kinds{Kinds...};
  Recorder recorder{kinds};
  return recorder.finish(std::forward<F>(formula)(recorder.input<Kinds>(I)...));
}

template <class F, std::size_t... I>
Recording record_numbers(F&& formula, std::index_sequence<I...> indices) {
  return record_kinds<(static_cast<void>(I), InputKind::number)...>(std::forward<F>(formula),
                                                                    indices);
}

}  // namespace detail

// Records formula(x1, ..., xN), all of them numbers: record<2>([](auto a, auto b) { ... }).
template <std::size_t N, class F>
Recording record(F&& formula) {
  return detail::record_numbers(std::forward<F>(formula), std::make_index_sequence<N>{});
}

// Records a formula some of whose inputs are masks: record<InputKind::mask, InputKind::number>(f).
template <InputKind First, InputKind... Rest, class F>
Recording record(F&& formula) {
  return detail::record_kinds<First, Rest...>(std::forward<F>(formula),
                                              std::make_index_sequence<1 + sizeof...(Rest)>{});
}

// Descriptors of operators: a type D with `static auto formula(auto...)`. Where the formula's first
// inputs are masks, D says how many with `static constexpr std::size_t mask_inputs`.

namespace detail {

template <class D>
consteval std::size_t count_mask_inputs() {
  if constexpr (requires { D::mask_inputs; }) {
    return D::mask_inputs;
  } else {
    return 0;
  }
}

inline constexpr std::size_t most_formula_inputs = 12;

template <std::size_t Masks, std::size_t I>
using DescriptorInput = std::conditional_t<(I < Masks), RecordedMask, Recorded>;

template <class D, std::size_t Masks, std::size_t... I>
consteval bool formula_takes(std::index_sequence<I...>) {
  return requires(DescriptorInput<Masks, I>... x) { D::formula(x...); };
}

template <class D, std::size_t N = 1>
consteval std::size_t count_formula_inputs() {
  if constexpr (N > most_formula_inputs) {
    return 0;
  } else if constexpr (N >= count_mask_inputs<D>() &&
                       formula_takes<D, count_mask_inputs<D>()>(std::make_index_sequence<N>{})) {
    return N;
  } else {
    return count_formula_inputs<D, N + 1>();
  }
}

template <class D, std::size_t... I>
Recording record_descriptor(std::index_sequence<I...> indices) {
  return record_kinds<(I < count_mask_inputs<D>() ? InputKind::mask : InputKind::number)...>(
      [](auto... x) { return D::formula(x...); }, indices);
}

}  // namespace detail

// How many of the formula's inputs, the first ones, are masks.
template <class D>
inline constexpr std::size_t mask_inputs_of = detail::count_mask_inputs<D>();

// How many inputs D::formula takes; 0 if it has none that can be called with 1 to 12 values.
template <class D>
inline constexpr std::size_t formula_arity = detail::count_formula_inputs<D>();

// Records D::formula.
template <class D>
Recording record_formula() {
  static_assert(formula_arity<D> > 0,
                "the operator needs `static auto formula(auto x, ...)` that can be called with "
                "numbers (and, first, as many masks as mask_inputs says)");
  return detail::record_descriptor<D>(std::make_index_sequence<formula_arity<D>>{});
}

}  // namespace dualtape
