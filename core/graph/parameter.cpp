#include <dualtape/core/parameter.hpp>

namespace dualtape {

Parameter::Parameter(std::string name, const Tensor& value) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->value = value.copy();
}

void Parameter::set(const Tensor& value, Location where) {
  const auto what = [&] {  // made for an error alone: nothing else here can fail
    return "is " + to_string(type()) + " and cannot take a " + to_string(value.type());
  };
  if (value.shape() != shape())
    fail<ShapeError>({.op = "Parameter",
                      .label = name(),
                      .what = what(),
                      .where = where,
                      .help = "a parameter keeps the shape it was made with"});
  if (value.dtype() != dtype())
    fail<TypeError>({.op = "Parameter",
                     .label = name(),
                     .what = what(),
                     .where = where,
                     .help = "value.to(parameter.dtype())"});
  if (!claim())
    fail<GraphError>({.op = "Parameter",
                      .label = name(),
                      .what = "it cannot be set while a running program assigns it",
                      .where = where,
                      .help = "set it before or after the run, or let one thread do both"});
  state_->value.assign(value);
  release();
}

}  // namespace dualtape
