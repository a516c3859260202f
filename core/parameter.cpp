#include <dualtape/core/parameter.hpp>

namespace dualtape {

Parameter::Parameter(std::string name, const Tensor& value) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->value = value.copy();
}

void Parameter::set(const Tensor& value) {
  const auto what = [&] {  // made for an error alone: nothing else here can fail
    return "is " + to_string(type()) + " and cannot take a " + to_string(value.type());
  };
  if (value.shape() != shape())
    fail<ShapeError>({.op = "Parameter",
                      .label = name(),
                      .what = what(),
                      .help = "a parameter keeps the shape it was made with"});
  if (value.dtype() != dtype())
    fail<TypeError>({.op = "Parameter",
                     .label = name(),
                     .what = what(),
                     .help = "value.to(parameter.dtype())"});
  state_->value.assign(value);
  state_->version.fetch_add(1, std::memory_order_release);
}

}  // namespace dualtape
