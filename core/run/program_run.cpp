// A run of a Program: binding feeds, calling kernels, committing assignments.
#include <algorithm>
#include <cstring>

#include <dualtape/core/leaves.hpp>
#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/run/program.hpp>

namespace dualtape {
namespace {

// The right to run a program and to write its parameters, held for one run.
class Claim {
 public:
  Claim(std::atomic<bool>& running, const std::vector<PlanAssign>& assigns, Location where)
      : running_(running), assigns_(assigns) {
    if (running_.exchange(true, std::memory_order_acquire))
      fail<GraphError>({.op = "run",
                        .what = "this program is already running in another thread",
                        .where = where,
                        .help = "compile one Program per thread"});
    for (; claimed_ < assigns_.size(); ++claimed_) {
      const Parameter& parameter = assigns_[claimed_].parameter;
      if (parameter.claim()) continue;
      release();
      fail<GraphError>({.op = "run",
                        .label = parameter.name(),
                        .what = "another running program writes the same parameter",
                        .where = where,
                        .help = "let one program own the update, or run them one after the other"});
    }
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() { release(); }

 private:
  void release() {
    while (claimed_ > 0) assigns_[--claimed_].parameter.release();
    running_.store(false, std::memory_order_release);
  }
  std::atomic<bool>& running_;
  const std::vector<PlanAssign>& assigns_;
  std::size_t claimed_ = 0;
};

}  // namespace

Tensor Feed::tensor_for(Var input, Number literal) {
  const DType wanted = input.alive() ? input.dtype(literal.where()) : boolean;
  return full(Shape{}, literal, literal.beside(wanted), literal.where());
}

void Program::Impl::bind_results(const Outputs::Results& results) {
  for (std::size_t i = 0; i < result_slots.size(); ++i) {
    ResultSlot& slot = result_slots[i];
    const void* data = results.tensors[i].raw();
    if (data == slot.data) continue;
    slot.data = const_cast<void*>(data);
    for (const std::uint32_t reader : slot.readers) in[reader] = slot.data;
    for (const std::uint32_t writer : slot.writers) out[writer] = slot.data;
  }
}

void Program::Impl::bind_feeds(std::span<const Feed> feeds, Location where) {
  copied_feeds.clear();
  if (bind_known_feeds(feeds)) return;
  feeds_known = false;
  known_feeds.clear();
  std::fill(fed.begin(), fed.end(), false);
  for (const Feed& feed : feeds) bind_feed(feed);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (fed[i]) continue;
    const PlanNode& node = plan.nodes[inputs[i].node];
    fail<GraphError>({.op = "run",
                      .label = plan.labels[node.label],
                      .what = "the input, " + to_string(plan.values[inputs[i].value]) +
                              " made at " + to_string(node.where) + ", was not fed",
                      .where = where,
                      .help = "add {" + plan.labels[node.label] + ", tensor} to the feeds"});
  }
  feeds_known = true;
}

// The same inputs as in the last run, of the right types? Anything else is left to bind_feed(),
// which finds the words for it.
bool Program::Impl::bind_known_feeds(std::span<const Feed> feeds) {
  if (!feeds_known || feeds.size() != known_feeds.size()) return false;
  for (std::size_t i = 0; i < feeds.size(); ++i)
    if (!(feeds[i].input == known_feeds[i].input) ||
        !(feeds[i].value.type() == *known_feeds[i].type))
      return false;
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    KnownFeed& known = known_feeds[i];
    // Memory that was fed last time is no parameter that this program writes.
    if (feeds[i].value.raw() == known.data) continue;
    const void* data = unwritten(feeds[i].value);
    if (data != known.data) bind(*known.slot, data);
    known.data = data;
  }
  return true;
}

void Program::Impl::bind(const InputSlot& slot, const void* data) {
  for (const std::uint32_t reader : slot.readers) in[reader] = data;
}

namespace {

std::string mend_of_shape(const Type& wanted, const Tensor& given) {
  if (wanted.shape.rank() == 0 && given.count() == 1)
    return "feed the number itself, 1.0" +
           std::string(wanted.dtype == float32 ? " or dt::Tensor(1.0)" : "") +
           ", or tensor.reshape({}); braces, as in dt::Tensor{1.0}, make a vector";
  return "a graph has fixed shapes; build another one for another batch size";
}

std::string mend_of_dtype(const Type& wanted, DType given) {
  if (wanted.dtype == DType::boolean)
    return "feed truth values: tensor.to(dt::boolean) is true where a number is not 0";
  // Converting would drop the fraction.
  if (is_integer(wanted.dtype) && is_floating(given)) {
    const std::string_view whole = wanted.shape.rank() == 0
                                       ? "feed a whole number, such as 2"
                                       : "feed whole numbers: Tensor::of({1, 2})";
    return std::string(whole) +
           ", or make the input a floating one: graph.input(name, shape, dt::" +
           std::string(name_of(given)) + ")";
  }
  const std::string dtype = "dt::" + std::string(name_of(wanted.dtype)) + ")";
  return "convert it once with tensor.to(" + dtype + ", or make it so: Tensor::of({0.1, 0.2}, " +
         dtype;
}

// A literal for an input whose graph had ended became a tensor when its dtype was not known.
Tensor value_of(const Feed& feed, DType wanted) {
  if (!feed.literal) return feed.value;
  const Number literal = *feed.literal;
  const bool as_made = identical(feed.value, full(Shape{}, literal, feed.value.dtype()));
  return as_made ? full(Shape{}, literal, literal.beside(wanted)) : feed.value;
}

void require_type(const Feed& feed, const Tensor& value, const std::string& label,
                  const Type& wanted) {
  const Type& given = value.type();
  const auto types = [&] {
    return "the input is " + to_string(wanted) + ", the feed is " + to_string(given);
  };
  if (given.shape != wanted.shape)
    fail<ShapeError>({.op = "run",
                      .label = label,
                      .what = types(),
                      .where = feed.where,
                      .help = mend_of_shape(wanted, value)});
  if (given.dtype != wanted.dtype)
    fail<TypeError>({.op = "run",
                     .label = label,
                     .what = types(),
                     .where = feed.where,
                     .help = mend_of_dtype(wanted, given.dtype)});
}

[[noreturn]] void refuse_no_output(const Feed& feed) {
  fail<GraphError>({.op = "run",
                    .what = "a feed is for output " + std::to_string(feed.input.output()) +
                            " of an input, which has one alone, 0",
                    .where = feed.where,
                    .help = "feed what graph.input() returned"});
}

// A feed for what the outputs asked for do not need.
void check_unneeded(const Feed& feed) {
  if (!feed.input.alive())
    fail<GraphError>({.op = "run",
                      .what = "a feed is for a Var whose graph has ended, and which is no input "
                              "that this program needs",
                      .where = feed.where,
                      .help = "leave that feed out"});
  const Node& node = feed.input.node(feed.where);
  if (feed.input.output() >= node.output_count)
    detail::require_alive(feed.input, "run", "the input of a feed", feed.where);
  if (node.op != &input_op())
    fail<GraphError>(
        {.op = "run",
         .label = feed.input.label(feed.where),
         .what = "a feed is for a node that is no input but '" + std::string(node.op->name()) + "'",
         .where = feed.where,
         .help = "make it with graph.input(...), or set the Parameter"});
  require_type(feed, feed.value, feed.input.label(feed.where), node.first_type);
}

}  // namespace

// The graph may have ended: of the program's own inputs the plan knows all there is to know.
void Program::Impl::bind_feed(const Feed& feed) {
  if (feed.input.graph_id() != graph) {
    detail::require_alive(feed.input, "run", "the input of a feed", feed.where);
    fail<GraphError>({.op = "run",
                      .what = "a feed's Var does not belong to the graph this program was "
                              "compiled from",
                      .where = feed.where,
                      .help = "feed the inputs of that graph"});
  }
  const auto found = input_numbers.find(feed.input.id());
  if (feed.input.output() != 0 && found != input_numbers.end()) refuse_no_output(feed);
  if (found == input_numbers.end()) return check_unneeded(feed);
  InputSlot& input = inputs[found->second];
  const Type& wanted = plan.values[input.value];
  const std::string& label = plan.labels[plan.nodes[input.node].label];
  const Tensor value = value_of(feed, wanted.dtype);
  require_type(feed, value, label, wanted);
  if (fed[found->second])
    fail<GraphError>({.op = "run",
                      .label = label,
                      .what = "the input is fed twice",
                      .where = feed.where,
                      .help = "leave one of the two feeds out"});
  fed[found->second] = true;
  if (feed.literal) copied_feeds.push_back(value);  // or nobody keeps it
  const void* data = unwritten(value);
  bind(input, data);
  known_feeds.push_back({feed.input, &wanted, &input, data});
}

// The elements of a feed, or of a copy if it is a parameter that this run writes before its end.
const void* Program::Impl::unwritten(const Tensor& feed) {
  for (const auto& [value, parameter] : written_parameters)
    if (feed.shares_memory_with(parameter.value())) {
      copied_feeds.push_back(feed.copy());
      return copied_feeds.back().raw();
    }
  return feed.raw();
}

template <class E>
void Program::Impl::rethrow(const Step& step, const Error& error) const {
  const PlanNode& node = plan.nodes[step.node];
  fail<E>({.op = node.op->name(),
           .label = plan.labels[node.label],
           .what = error.what(),
           .where = node.where});
}

template <class AfterStep>
void Program::Impl::run_calls(AfterStep after_step) {
  const detail::Team* const of_run = team ? &*team : nullptr;
  const Call* call = calls.data();
  const Call* const end = call + calls.size();
  try {
    for (; call != end; ++call) {
      call->kernel(call->callable, {call->in, call->out, workspace, of_run});
      after_step(call);
    }
  } catch (const MemoryError& error) {
    rethrow<MemoryError>(steps[static_cast<std::size_t>(call - calls.data())], error);
  } catch (const Error& error) {
    rethrow<ValueError>(steps[static_cast<std::size_t>(call - calls.data())], error);
  }
}

void Program::Impl::run_steps() {
  if (!profiling) return run_calls([](const Call*) {});
  profiler->begin_run();
  run_calls([this](const Call* call) {
    profiler->step_done(static_cast<std::size_t>(call - calls.data()));
  });
  profiler->end_run();
}

void Program::Impl::commit() {
  for (const PlanAssign& a : plan.assigns)
    if (!a.in_place)
      std::memcpy(const_cast<void*>(a.parameter.value().raw()), address(a.value),
                  a.parameter.value().bytes());
}

Outputs Program::run(std::initializer_list<Feed> feeds, Location where) {
  return run(std::span<const Feed>(feeds.begin(), feeds.size()), where);
}

Outputs Program::run(std::span<const Feed> feeds, Location where) {
  Impl& impl = this->impl(where);
  const Claim claim(impl.running, impl.plan.assigns, where);
  std::shared_ptr<Outputs::Results> results = impl.next_results("run", where);
  impl.bind_results(*results);
  impl.bind_feeds(feeds, where);
  {
    const detail::FlushDenormals flush;
    impl.run_steps();
  }
  impl.commit();
  return Outputs(std::move(results));
}

}  // namespace dualtape
