#include <dualtape/modes/vmap.hpp>

#include <string>

#include <dualtape/modes/batching.hpp>
#include <dualtape/ops/batching.hpp>

namespace dualtape::detail {
namespace {

// The axis from the front; ShapeError where there is none of that number.
std::int64_t wrapped(std::int64_t axis, std::size_t rank, const std::string& of, Called called) {
  const auto axes = static_cast<std::int64_t>(rank);
  if (axis >= -axes && axis < axes) return axis < 0 ? axis + axes : axis;
  fail<ShapeError>(
      {.op = called.function,
       .what = "axis " + std::to_string(axis) + " is asked for of " + of + ", which has " +
               std::to_string(rank) + " axes",
       .where = called.where,
       .help = "name an axis that is there, or std::nullopt where nothing is batched"});
}

void require_axes(const std::vector<BatchAxis>& axes, std::size_t count, const std::string& of,
                  Called called) {
  if (axes.empty() || axes.size() == count) return;
  fail<ValueError>(
      {.op = called.function,
       .what = std::to_string(axes.size()) + " axes for " + std::to_string(count) + " " + of,
       .where = called.where,
       .help = "give one for each, or none for the first axis of all"});
}

}  // namespace

Batched::Batched(std::span<const Var> arguments, const VmapOptions& options, Called called)
    : options_(options),
      called_(called),
      graph_(&require_one_graph(arguments, called.function, "arguments", called.where)) {
  require_axes(options.in, arguments.size(), "arguments", called);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    of_one_.push_back(arguments[i]);
    const BatchAxis axis = options.in.empty() ? 0 : options.in[i];
    if (!axis) continue;
    const std::string name =
        "argument " + std::to_string(i) + " (from 0), " + to_string(arguments[i].type());
    const std::int64_t from = wrapped(*axis, arguments[i].rank(), name, called);
    const std::int64_t size = arguments[i].shape()[static_cast<std::size_t>(from)];
    if (!batches_.empty() && size != size_)
      fail<ShapeError>({.op = called.function,
                        .label = arguments[i].label(),
                        .what = name + ", has " + std::to_string(size) + " members on axis " +
                                std::to_string(from) + ", the first batch " + std::to_string(size_),
                        .where = called.where,
                        .help = "as many members in each, or std::nullopt for an argument that is "
                                "the same for all"});
    size_ = size;
    batches_.push_back(move_axis(arguments[i], from, 0));
    members_.push_back(member_of(batches_.back()));
    of_one_.back() = members_.back();
  }
  if (batches_.empty())
    fail<ValueError>({.op = called.function,
                      .what = "no argument is batched",
                      .where = called.where,
                      .help = "name the axis of one argument at least"});
}

std::vector<Var> Batched::for_all(const std::vector<Var>& results) const {
  require_axes(options_.out, results.size(), "results", called_);
  for (const Var& result : results)
    if (&require_alive(result, called_.function, "what the function returns", called_.where)
             .graph() != graph_)
      fail<GraphError>({.op = called_.function,
                        .what = "what the function returns, " + place_of(result) +
                                ", does not belong to the graph of its arguments",
                        .where = called_.where,
                        .help = "compute it from the Vars that the function is given"});
  const std::vector<MaybeVar> all = batch_all(results, members_, batches_, called_.where);
  std::vector<Var> made;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const BatchAxis axis = options_.out.empty() ? 0 : options_.out[i];
    if (!axis && all[i])
      fail<ValueError>({.op = called_.function,
                        .label = results[i].label(),
                        .what = "result " + std::to_string(i) +
                                " (from 0) is not the same for all members, as its axis says",
                        .where = called_.where,
                        .help = "name the axis that its members shall have"});
    if (!axis) {
      made.push_back(results[i]);
      continue;
    }
    const Var whole = all[i] ? *all[i] : detail::for_all(results[i], size_);
    const std::string name = "result " + std::to_string(i) + " (from 0)";
    made.push_back(move_axis(whole, 0, wrapped(*axis, whole.rank(), name, called_)));
  }
  return made;
}

}  // namespace dualtape::detail
