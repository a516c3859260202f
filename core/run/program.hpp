// What a Program consists of: the plan, its kernels, and the addresses they run on.
// Private: for the .cpp files of Program. One thread at a time, as for Program.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/run/profiler.hpp>
#include <dualtape/core/run/results.hpp>
#include <dualtape/core/tensor/arena.hpp>

namespace dualtape {

namespace detail {
// The types of a node's operands and outputs.
std::vector<Type> operand_types(const Plan& plan, const PlanNode& node);
std::vector<Type> output_types(const Plan& plan, const PlanNode& node);
}  // namespace detail

struct Program::Impl {
  struct Step {
    std::uint32_t kernel;
    std::uint32_t node;  // in Plan::nodes
    std::uint32_t first_in;
    std::uint32_t first_out;
  };
  class Steps;  // in explain()
  // What a run reads of a step, and no more.
  struct Call {
    KernelFunction::Call kernel;
    void* callable;
    const void* const* in;
    void* const* out;
  };
  struct InputSlot {
    NodeId source;
    ValueId value;
    std::uint32_t node;
    std::vector<std::uint32_t> readers;  // places in `in` that point at the fed memory
  };
  // A result, whose memory is another one in every run that finds the last one kept.
  struct ResultSlot {
    void* data = nullptr;
    std::vector<std::uint32_t> readers;  // places in `in` that point there
    std::vector<std::uint32_t> writers;  // and in `out`
  };
  // The feeds of the last run. When the next one gives the same inputs in the same order, only
  // their types and addresses are looked at.
  struct KnownFeed {
    Var input;
    const Type* type;
    const InputSlot* slot;
    const void* data;
  };

  Plan plan;
  Placement placement;
  std::vector<Kernel> kernels;
  std::vector<Step> steps;
  std::vector<Call> calls;  // of the same steps
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<InputSlot> inputs;
  std::unordered_map<NodeId, std::size_t> input_numbers;  // in `inputs`, by source
  std::vector<bool> fed;
  std::vector<KnownFeed> known_feeds;
  bool feeds_known = false;  // the last run was given known_feeds, and they were complete
  std::unordered_map<ValueId, Parameter> written_parameters;  // those assigned in place
  std::vector<Tensor> copied_feeds;                           // of this run
  detail::Block memory;        // the arena, then the workspace; none where a caller lends them
  std::byte* arena = nullptr;  // where they begin
  std::byte* workspace = nullptr;
  std::size_t workspace_bytes = 0;       // of all threads together
  std::size_t workspace_of_first = 0;    // where the other threads' begins
  std::size_t workspace_of_further = 0;  // of each of them
  int threads = 1;
  std::optional<detail::Team> team;  // none on one thread
  GraphId graph = 0;                 // to tell foreign Vars
  detail::ResultMemory result_memory;
  std::vector<ResultSlot> result_slots;  // by number, as in Placement::results
  std::atomic<bool> running{false};
  Location compiled_at;
  std::vector<std::string> without;            // names of passes left out
  std::shared_ptr<detail::Profiler> profiler;  // null unless runs are timed
  bool profiling = false;

  // Of a value that the program computes.
  std::byte* address(ValueId value) const;
  void build(std::span<const Var> outputs);
  // The two halves of build(), where memory is lent: what is known without it, and what points to
  // it, which may be done again for other memory.
  void plan_steps();
  void use_memory(std::byte* begin);

  // ResultMemory::next(), whose MemoryError then names the results.
  std::shared_ptr<Outputs::Results> next_results(const char* op, Location where);
  void bind_results(const Outputs::Results& results);
  void bind_feeds(std::span<const Feed> feeds, Location where);
  void run_steps();
  Cost cost(const PlanNode& node) const;
  std::string memory_text(const Step& step) const;
  Profile description() const;  // everything but times
  void profile(bool on);
  void commit();
  void bind(const InputSlot& slot, const void* data);

 private:
  template <class AfterStep>
  void run_calls(AfterStep after_step);
  void plan_kernels();
  void measure_workspaces();
  void take_memory();
  void bind_operands();
  bool bind_known_feeds(std::span<const Feed> feeds);
  void bind_feed(const Feed& feed);
  const void* unwritten(const Tensor& feed);
  ResultSlot* slot_of(ValueId value);  // null if it is no result's
  [[noreturn]] void refuse_memory(Storage storage, const char* op, Location where) const;
  template <class E>
  [[noreturn]] void rethrow(const Step& step, const Error& error) const;
};

}  // namespace dualtape
