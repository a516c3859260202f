#include <dualtape/models/optimisers/minimised.hpp>

#include <algorithm>
#include <string>

namespace dualtape::detail {
namespace {

void check_parameters(const std::vector<Parameter>& parameters, Location where) {
  if (parameters.empty())
    fail<ValueError>({.op = "Lbfgs",
                      .what = "there are no parameters to move",
                      .where = where,
                      .help = "list the model's parameters()"});
  for (auto at = parameters.begin(); at != parameters.end(); ++at)
    if (std::find(parameters.begin(), at, *at) != at)
      fail<ValueError>({.op = "Lbfgs",
                        .label = at->name(),
                        .what = "'" + at->name() + "' is listed twice among the parameters",
                        .where = where,
                        .help = "list a Parameter once, also where layers share it"});
}

}  // namespace

std::vector<Var> check_minimised(const std::vector<Parameter>& parameters, Var loss,
                                 const Gradients& gradients, Location where) {
  check_parameters(parameters, where);
  if (!loss.defined() || loss.shape().count() != 1)
    fail<ShapeError>({.op = "Lbfgs",
                      .what = "the loss must be one number, got " +
                              (loss.defined() ? to_string(loss.type()) : "an empty Var"),
                      .where = where});
  if (!is_floating(loss.dtype()))
    fail<TypeError>({.op = "Lbfgs",
                     .label = loss.label(),
                     .what = "the loss is " + to_string(loss.type()) + ", which has no derivative",
                     .where = where,
                     .help = "make the loss of float32 or float64"});
  std::vector<Var> found;
  for (const Parameter& parameter : parameters) {
    const Var gradient = gradients[Wrt(parameter, where)];
    if (!gradient.defined() || gradient.shape() != parameter.shape())
      fail<ShapeError>({.op = "Lbfgs",
                        .label = parameter.name(),
                        .what = "the gradient of '" + parameter.name() + "' is " +
                                (gradient.defined() ? to_string(gradient.type()) : "an empty Var") +
                                ", but the parameter is " + to_string(parameter.type()),
                        .where = where});
    found.push_back(gradient);
  }
  return found;
}

}  // namespace dualtape::detail
