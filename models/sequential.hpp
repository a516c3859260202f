// Layers put together: nn::Layer holds any one of them, nn::Sequential runs them one after the
// other, nn::Residual adds a detour. Copies share parameters. Graphs are built by one thread at a
// time.
//
// A layer is any struct with
//     Var operator()(Var x) const;   or   Var operator()(Var x, nn::Context& context) const;
// (either may take a Location after that, which is the user's line), and, where it has them,
//     std::vector<Parameter> parameters() const;   // trained
//     std::vector<Parameter> buffers() const;      // saved but not trained: running statistics
//     std::vector<Parameter> tables() const;       // of the parameters, matrices whose rows are
//                                                  // looked up: embeddings, of any framework's
//                                                  layout
// One that takes a Context trains otherwise than it evaluates, unless it has a
//     bool needs_context() const;
// that says false. A net that holds such layers has to be told which is meant: in an objective by
// net(x, context), with the trainer's Context, and else by net.evaluate(x).
// Functions of one Var are layers, too:
//     nn::Sequential net{nn::Linear("in", 4, 16, key), dt::relu, nn::Linear("out", 16, 3, key)};
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/models/context.hpp>

namespace dualtape::nn {
namespace detail {

template <class T>
concept CallsAll = requires(const T& layer, Var x, Context& context, Location where) {
  { layer(x, context, where) } -> std::convertible_to<Var>;
};
template <class T>
concept CallsContext = requires(const T& layer, Var x, Context& context) {
  { layer(x, context) } -> std::convertible_to<Var>;
};
template <class T>
concept CallsLocated = requires(const T& layer, Var x, Location where) {
  { layer(x, where) } -> std::convertible_to<Var>;
};
template <class T>
concept CallsPlain = requires(const T& layer, Var x) {
  { layer(x) } -> std::convertible_to<Var>;
};
template <class T>
concept Maps = CallsAll<T> || CallsContext<T> || CallsLocated<T> || CallsPlain<T>;

template <class T>
concept MapsOnlyMutable = !Maps<T> && (
                                          requires(T & layer, Var x) { layer(x); } ||
                                          requires(T & layer, Var x, Context& c) { layer(x, c); });

template <class T>
concept Trains = requires(const T& layer) {
  { layer.parameters() } -> std::convertible_to<std::vector<Parameter>>;
};
template <class T>
concept Remembers = requires(const T& layer) {
  { layer.buffers() } -> std::convertible_to<std::vector<Parameter>>;
};
template <class T>
concept LooksUp = requires(const T& layer) {
  { layer.tables() } -> std::convertible_to<std::vector<Parameter>>;
};
template <class T>
concept SaysNeed = requires(const T& layer) {
  { layer.needs_context() } -> std::convertible_to<bool>;
};
template <class T>
concept NamesParameters = requires {
  &T::parameters;
};
template <class T>
concept NamesBuffers = requires {
  &T::buffers;
};

void append_new(std::vector<Parameter>& all, const std::vector<Parameter>& more);

template <class T>
consteval void check_layer() {
  static_assert(!MapsOnlyMutable<T>, "dualtape: a layer's operator() must be const");
  static_assert(Maps<T> || MapsOnlyMutable<T>,
                "dualtape: a layer needs `dt::Var operator()(dt::Var x) const` or `dt::Var "
                "operator()(dt::Var x, dt::nn::Context& context) const`");
  static_assert(Trains<T> || !NamesParameters<T>,
                "dualtape: a layer's parameters must be `std::vector<dt::Parameter> parameters() "
                "const`");
  static_assert(Remembers<T> || !NamesBuffers<T>,
                "dualtape: a layer's buffers must be `std::vector<dt::Parameter> buffers() const`");
}

}  // namespace detail

// What may stand where a layer is wanted.
template <class T>
concept LayerLike = detail::Maps<T>;

class Layer {
 public:
  // What is missing of a T that is no layer is said by the compiler. ValueError for an empty
  // std::function or a null pointer, and for layers nested too deep for the stack.
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Layer>)
      Layer(T layer, Location where = Location::current()) {
    detail::check_layer<T>();
    if (dualtape::detail::is_null(layer)) refuse_empty(where);
    if constexpr (detail::Maps<T>) held_ = std::make_shared<Holder<T>>(std::move(layer));
    if (held_ != nullptr) check_depth(where);
  }
  // No moves, so that there is no Layer that stands for nothing.
  Layer(const Layer&) = default;
  Layer& operator=(const Layer&) = default;
  // Functions such as relu.
  Layer(Var (*function)(In), Location where = Location::current());

  // Throws GraphError if it needs a context: else it would silently be left untrained.
  Var operator()(Var x, Location where = Location::current()) const;
  // Nothing is drawn and running statistics are read.
  Var evaluate(Var x, Location where = Location::current()) const;
  Var operator()(Var x, Context& context, Location where = Location::current()) const {
    return held_->call(x, context, where);
  }
  std::vector<Parameter> parameters() const { return held_->parameters(); }
  std::vector<Parameter> buffers() const { return held_->buffers(); }
  std::vector<Parameter> tables() const { return held_->tables(); }
  bool needs_context() const { return held_->needs_context(); }
  int depth() const { return held_->depth(); }  // of layers in layers

 private:
  void check_depth(Location where) const;
  [[noreturn]] static void refuse_empty(Location where);

  struct Held {
    virtual ~Held() = default;
    virtual int depth() const { return 0; }
    virtual Var call(Var x, Context& context, Location where) const = 0;
    virtual std::vector<Parameter> parameters() const { return {}; }
    virtual std::vector<Parameter> buffers() const { return {}; }
    virtual std::vector<Parameter> tables() const { return {}; }
    virtual bool needs_context() const = 0;
  };

  template <class T>
  struct Holder final : Held {
    explicit Holder(T held) : layer(std::move(held)) {}
    int depth() const override {
      if constexpr (requires { layer.depth(); }) return layer.depth();
      return 0;
    }
    Var call(Var x, Context& context, Location where) const override {
      if constexpr (detail::CallsAll<T>)
        return layer(x, context, where);
      else if constexpr (detail::CallsContext<T>)
        return layer(x, context);
      else if constexpr (detail::CallsLocated<T>)
        return layer(x, where);
      else
        return layer(x);
    }
    std::vector<Parameter> parameters() const override {
      if constexpr (detail::Trains<T>) return layer.parameters();
      return {};
    }
    std::vector<Parameter> buffers() const override {
      if constexpr (detail::Remembers<T>) return layer.buffers();
      return {};
    }
    std::vector<Parameter> tables() const override {
      if constexpr (detail::LooksUp<T>) return layer.tables();
      return {};
    }
    bool needs_context() const override {
      if constexpr (detail::SaysNeed<T>)
        return layer.needs_context();
      else
        return detail::CallsAll<T> || detail::CallsContext<T>;
    }
    T layer;
  };

  std::shared_ptr<const Held> held_;
};

// One layer after the other. Without layers it is the identity.
class Sequential {
 public:
  // ValueError if two parameters have one name: drawn from one key they would be the same numbers,
  // and no file could tell them apart.
  Sequential(std::initializer_list<Layer> layers, Location where = Location::current())
      : Sequential(std::vector<Layer>(layers), where) {}
  explicit Sequential(std::vector<Layer> layers, Location where = Location::current());
  // Moving copies: one moved from would silently be the identity.
  Sequential(const Sequential&) = default;
  Sequential& operator=(const Sequential&) = default;

  // Without a context as Layer does.
  Var operator()(Var x, Location where = Location::current()) const;
  Var evaluate(Var x, Location where = Location::current()) const;
  Var operator()(Var x, Context& context, Location where = Location::current()) const;

  const std::vector<Layer>& layers() const { return layers_; }
  // In the order of the layers; a layer that stands in two places is listed once.
  std::vector<Parameter> parameters() const;
  std::vector<Parameter> buffers() const;
  std::vector<Parameter> tables() const;
  std::int64_t parameter_count() const;  // numbers, not tensors
  bool needs_context() const;
  int depth() const;  // one more than the deepest layer's

 private:
  std::vector<Layer> layers_;
};

// inner(x) + shortcut(x), the shortcut being x itself unless given (He, Zhang, Ren and Sun, "Deep
// Residual Learning", CVPR 2016). ShapeError unless both have one shape.
class Residual {
 public:
  explicit Residual(Layer inner) : inner_(std::move(inner)) {}
  Residual(Layer inner, Layer shortcut)
      : inner_(std::move(inner)), shortcut_(std::move(shortcut)) {}

  // Without a context as Layer does.
  Var operator()(Var x, Location where = Location::current()) const;
  Var evaluate(Var x, Location where = Location::current()) const;
  Var operator()(Var x, Context& context, Location where = Location::current()) const;
  std::vector<Parameter> parameters() const;
  std::vector<Parameter> buffers() const;
  std::vector<Parameter> tables() const;
  bool needs_context() const {
    return inner_.needs_context() || (shortcut_ && shortcut_->needs_context());
  }
  int depth() const;  // one more than the deeper layer's

 private:
  Layer inner_;
  std::optional<Layer> shortcut_;
};

// Everything of a model that a file has to keep: parameters, then buffers.
template <class Model>
std::vector<Parameter> state_of(const Model& model) {
  std::vector<Parameter> all;
  if constexpr (detail::Trains<Model>) all = model.parameters();
  if constexpr (detail::Remembers<Model>)
    for (const Parameter& buffer : model.buffers()) all.push_back(buffer);
  return all;
}

// The tables of a model; none of one that does not say.
template <class Model>
std::vector<Parameter> tables_of(const Model& model) {
  if constexpr (detail::LooksUp<Model>)
    return model.tables();
  else
    return {};
}

// Those of several layers, in order and each once: for a layer of your own that holds them,
//     std::vector<Parameter> parameters() const { return nn::parameters_of(down, up); }
template <class... Layers>
std::vector<Parameter> parameters_of(const Layers&... layers) {
  std::vector<Parameter> all;
  [[maybe_unused]] const auto append = [&all](const auto& layer) {
    if constexpr (requires { layer.parameters(); }) detail::append_new(all, layer.parameters());
  };
  (append(layers), ...);
  return all;
}
template <class... Layers>
std::vector<Parameter> buffers_of(const Layers&... layers) {
  std::vector<Parameter> all;
  [[maybe_unused]] const auto append = [&all](const auto& layer) {
    if constexpr (requires { layer.buffers(); }) detail::append_new(all, layer.buffers());
  };
  (append(layers), ...);
  return all;
}

// Numbers, not tensors.
std::int64_t count_of(const std::vector<Parameter>& parameters);

}  // namespace dualtape::nn
