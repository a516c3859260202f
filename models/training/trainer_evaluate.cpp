// What a Trainer makes of data sets without training: evaluations and predictions.
#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <utility>

#include <dualtape/models/training/trainer_impl.hpp>

namespace dualtape {

using detail::Compiled;
using detail::TrainerParts;

std::vector<std::pair<std::string, double>> Evaluation::named() const {
  std::vector<std::pair<std::string, double>> all{{"loss", loss}};
  if (!std::isnan(accuracy)) all.emplace_back("accuracy", accuracy);
  if (regression) all.insert(all.end(), {{"mae", mae}, {"mse", mse}, {"r2", r2}});
  all.insert(all.end(), metrics.begin(), metrics.end());
  return all;
}

namespace {

void check_rows_at_once(const char* function, std::int64_t rows, Location where) {
  if (rows < 1)
    fail<ValueError>({.op = function,
                      .what = "rows_at_once is " + std::to_string(rows) + ", but must be above 0",
                      .where = where});
}

// Tensors below each other.
Tensor joined(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts.front();
  std::int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.size(0);
  const auto rest = parts.front().shape().sizes().subspan(1);
  std::vector<std::int64_t> sizes{rows};
  sizes.insert(sizes.end(), rest.begin(), rest.end());
  Tensor all =
      Tensor::uninitialised({Shape(std::span<const std::int64_t>(sizes)), parts.front().dtype()});
  std::int64_t at = 0;
  for (const Tensor& part : parts) {
    all.rows(at, at + part.size(0)).assign(part);
    at += part.size(0);
  }
  return all;
}

}  // namespace

Evaluation Trainer::evaluate(const Tensor& inputs, const Tensor& labels, std::int64_t rows_at_once,
                             Location where) {
  Impl& impl = this->impl("evaluate", where);
  if (inputs.rank() < 1 || labels.rank() < 1 || inputs.size(0) != labels.size(0) ||
      inputs.size(0) < 1)
    fail<ShapeError>({.op = "evaluate",
                      .what = "inputs " + to_string(inputs.type()) + " and labels " +
                              to_string(labels.type()) + " make no data set",
                      .where = impl.where,
                      .help = "give both one row for each example, and at least one"});
  check_rows_at_once("evaluate", rows_at_once, impl.where);
  RunningMean loss;
  double right = std::numeric_limits<double>::quiet_NaN();
  std::vector<Tensor> outputs;
  impl.labels_seen = labels.type();
  for (std::int64_t begin = 0; begin < inputs.size(0); begin += rows_at_once) {
    const std::int64_t end = begin + std::min(rows_at_once, inputs.size(0) - begin);
    const auto rows = static_cast<double>(end - begin);
    const Tensor some = inputs.rows(begin, end);
    const Tensor their = labels.rows(begin, end);
    Compiled& c =
        impl.find(impl.evaluations, some.type(), their.type(), &TrainerParts::build_evaluation);
    const detail::EvaluationPlaces places = detail::places_of(c);
    const Outputs out = impl.run(c, some, their);
    loss.add(out[c.outputs[0]].item(), rows);
    if (places.accuracy > 0) {
      // The count of right rows is whole; float32 means are not.
      const double count = std::round(out[c.outputs[1]].item() * rows);
      right = begin == 0 ? count : right + count;
    }
    if (places.outputs > 0) outputs.push_back(out[c.outputs.back()].copy());
    if (inputs.size(0) - begin <= rows_at_once) break;  // begin + rows_at_once may overflow
  }
  Evaluation found{loss.mean(), right / loss.weight(), inputs.size(0)};
  if (outputs.empty()) return found;
  const Tensor all = joined(outputs);
  found.regression = is_floating(labels.dtype()) && all.shape() == labels.shape();
  if (found.regression) {
    found.mae = mae(all, labels, impl.where);
    found.mse = mse(all, labels, impl.where);
    found.r2 = r2(all, labels, impl.where);
  }
  for (const Metric& metric : impl.options.metrics)
    found.metrics.emplace_back(metric.name, metric.of(all, labels));
  return found;
}

Tensor Trainer::predict(const Tensor& inputs, std::int64_t rows_at_once, Location where) {
  Impl& impl = this->impl("predict", where);
  if (inputs.rank() < 1 || inputs.size(0) < 1)
    fail<ShapeError>({.op = "predict",
                      .what = "inputs " + to_string(inputs.type()) + " have no rows",
                      .where = impl.where});
  check_rows_at_once("predict", rows_at_once, impl.where);
  std::vector<Tensor> outputs;
  for (std::int64_t begin = 0;;) {
    const std::int64_t end = begin + std::min(rows_at_once, inputs.size(0) - begin);
    const Tensor some = inputs.rows(begin, end);
    Compiled& c = impl.prediction(some.type());
    const std::vector<Feed> fed{{c.inputs, some, impl.where}};
    outputs.push_back(c.program->run(fed, impl.where)[c.outputs[0]].copy());
    begin = end;
    if (begin == inputs.size(0)) break;
  }
  return joined(outputs);
}

namespace {

Type with_rows(const Type& type, std::int64_t rows) {
  std::vector<std::int64_t> sizes(type.shape.begin(), type.shape.end());
  sizes.front() = rows;
  return {Shape(std::span<const std::int64_t>(sizes)), type.dtype};
}

// What labels may look like that nobody has seen.
std::vector<Type> guesses(const Type& inputs) {
  const std::int64_t rows = inputs.shape[0];
  const DType dtype = is_floating(inputs.dtype) ? inputs.dtype : float32;
  return {{Shape{rows}, int64}, {Shape{rows}, dtype}, {Shape{rows, 1}, dtype}};
}

}  // namespace

Compiled& Trainer::Impl::prediction(const Type& inputs) {
  const auto known = std::ranges::find_if(
      predictions, [&](const Compiled& c) { return c.inputs.type() == inputs; });
  if (known != predictions.end()) return *known;
  const auto made = [&](const Type& labels_type) -> Compiled& {
    Compiled fresh(inputs, labels_type);
    build_prediction(fresh);
    predictions.push_back(std::move(fresh));
    return predictions.back();
  };
  if (labels_seen) return made(with_rows(*labels_seen, inputs.shape[0]));
  std::string refusal;
  std::exception_ptr first;
  bool same = true;  // whatever the labels: it is the inputs that are refused
  const auto refused = [&](const Error& error) {
    same = same && (first == nullptr || refusal == error.what());
    if (first == nullptr) first = std::current_exception();
    refusal = error.what();
  };
  for (const Type& guess : guesses(inputs)) {
    try {
      return made(guess);
    } catch (const ShapeError& error) {
      refused(error);
    } catch (const TypeError& error) {
      refused(error);
    }
  }
  if (same) std::rethrow_exception(first);
  fail<ValueError>(
      {.op = "predict",
       .what = "no labels were seen yet, and the objective takes neither class numbers "
               "nor one floating number a row; of the last it said: " +
               refusal,
       .where = where,
       .help = "call fit() or evaluate() first, which show what labels look like"});
}

}  // namespace dualtape
