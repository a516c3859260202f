// Parameter: a named tensor that outlives graphs. Several graphs may read one Parameter; programs
// that assign to it write it at the end of their run. A Parameter is a handle: copies are the same
// parameter, and moving one copies it. Reading while a program that assigns it runs in another
// thread is the caller's race; two that write one Parameter at the same time, programs or set(),
// are detected and throw GraphError.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

class Parameter {
 public:
  // Keeps a copy of `value`.
  Parameter(std::string name, const Tensor& value);
  // No moves, so that there is no Parameter that stands for nothing.
  Parameter(const Parameter&) = default;
  Parameter& operator=(const Parameter&) = default;

  const std::string& name() const { return state_->name; }
  const Type& type() const { return state_->value.type(); }
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  std::int64_t count() const { return state_->value.count(); }

  // The live elements: shared with the programs, so copy() them to keep a moment's values.
  const Tensor& value() const { return state_->value; }
  // Copies `value` in. Throws ShapeError or TypeError unless the types are the same, GraphError
  // while a program that assigns it runs.
  void set(const Tensor& value, Location where = Location::current());

  friend bool operator==(const Parameter& a, const Parameter& b) { return a.state_ == b.state_; }
  std::size_t hash() const { return std::hash<const void*>{}(state_.get()); }

  // Grows whenever set() or a program that assigns it is done writing; what is written through a
  // copy of value(), which shares its memory, goes unnoticed.
  std::uint64_t version() const { return state_->version.load(std::memory_order_acquire); }

  // For programs: claims the right to write until release. False if another program holds it.
  bool claim() const { return !state_->claimed.exchange(true, std::memory_order_acquire); }
  void release() const {
    state_->version.fetch_add(1, std::memory_order_release);
    state_->claimed.store(false, std::memory_order_release);
  }

 private:
  struct State {
    std::string name;
    Tensor value;
    std::atomic<bool> claimed{false};
    std::atomic<std::uint64_t> version{0};
  };
  std::shared_ptr<State> state_;
};

}  // namespace dualtape
