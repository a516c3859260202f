// What all operators described by a formula share: inference, kernels, sample calls; and kernels
// from a plain apply function.
#include <dualtape/core/tile/elementwise.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <memory>
#include <utility>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/tile/broadcast.hpp>
#include <dualtape/core/tile/tile.hpp>

namespace dualtape::detail {
namespace {

bool is_mask(const Recording& recording, std::size_t i) {
  return recording.kinds[i] == InputKind::mask;
}

std::string operand(const Inference& inference, std::size_t i) {
  return "operand " + std::to_string(i) + " is " + to_string(inference.in[i]);
}

std::string list(bool integers, bool booleans) {
  std::string names = integers ? "int32, int64, float32 or float64" : "float32 or float64";
  return booleans ? "bool, " + names : names;
}

void check_dtypes(const Inference& inference, const Recording& recording, AlsoAccepts also) {
  std::size_t first = inference.in.size();  // the first number
  for (std::size_t i = 0; i < inference.in.size(); ++i) {
    const DType dtype = inference.dtype(i);
    if (is_mask(recording, i)) {
      if (dtype == boolean) continue;
      inference.type_error(operand(inference, i) + ", but must be bool",
                           "compare first, such as not_equal(x, 0)");
    }
    if (!is_floating(dtype) && !(is_integer(dtype) && also.integers) &&
        !(dtype == boolean && also.booleans))
      inference.type_error(
          operand(inference, i) + ", but must be " + list(also.integers, also.booleans),
          dtype == boolean ? "cast(x, dt::float32)" : "cast the operand to float32 or float64");
    if (first == inference.in.size()) first = i;
    if (dtype != inference.dtype(first))
      inference.type_error("operands have different dtypes: " + operand(inference, first) + ", " +
                               operand(inference, i),
                           "cast one of them to the dtype of the other");
  }
}

// A mend for two shapes that do not broadcast.
std::string mend(const Shape& a, const Shape& b) {
  const Shape& low = a.rank() <= b.rank() ? a : b;
  const Shape& high = a.rank() <= b.rank() ? b : a;
  if (low.rank() == 1 && high.rank() == 2 && low[0] == high[0])
    return "to combine it with each row's first axis, make the one of shape " + to_string(low) +
           " a column with unsqueeze(x, 1)";
  if (a.rank() == 2 && b.rank() == 2 && a[0] == b[1] && a[1] == b[0])
    return "one of them looks transposed: transpose(x)";
  return "sizes must be equal or 1, counted from the last axis; reshape or unsqueeze one operand";
}

Shape broadcast_all(const Inference& inference) {
  Shape shape = inference.shape(0);
  for (std::size_t i = 1; i < inference.in.size(); ++i) {
    Broadcast next = broadcast(shape, inference.shape(i));
    if (!next.ok)
      inference.shape_error(
          "shapes do not broadcast: " + to_string(shape) + " with " + to_string(inference.shape(i)),
          mend(shape, inference.shape(i)));
    shape = std::move(next.shape);
  }
  return shape;
}

}  // namespace

void infer_elementwise(Inference& inference, const Recording& recording, AlsoAccepts also) {
  check_dtypes(inference, recording, also);
  DType dtype = boolean;
  for (std::size_t i = 0; i < inference.in.size(); ++i)
    if (!is_mask(recording, i)) dtype = inference.dtype(i);
  if (recording.mask_result) dtype = boolean;
  inference.out.push_back({broadcast_all(inference), dtype});
}

void infer_elementwise(Inference& inference, const Recording& recording) {
  infer_elementwise(inference, recording, {});
}

namespace {

// The kernel that runs `run(args, first, last, workspace)` on ranges of the loop, one for a thread.
template <class Run>
Kernel divided_kernel(const ElementwiseLoop& loop, std::size_t workspace_bytes, Run run) {
  return {.run =
              [run, count = loop.count(), unit = loop.unit()](const KernelArgs& args) {
                in_ranges(args, count, unit, count,
                          [&](std::size_t first, std::size_t last, void* workspace) {
                            run(args, first, last, workspace);
                          });
              },
          .workspace_bytes = workspace_bytes,
          .thread_workspace_bytes = workspace_bytes};
}

}  // namespace

Kernel loop_kernel(SpanKernel span, const KernelRequest& request) {
  assert(span != nullptr);
  const auto loop = std::make_shared<const ElementwiseLoop>(request.in, request.out);
  return divided_kernel(
      *loop, loop->workspace_bytes(),
      [loop, span](const KernelArgs& args, std::size_t first, std::size_t last, void* workspace) {
        SpanKernel kernel = span;
        loop->run(args.in, args.out, workspace, bind(kernel), first, last);
      });
}

Kernel elementwise_kernel(const Recording& recording, const KernelRequest& request) {
  struct Planned {
    ElementwiseLoop loop;
    TileProgram program;
    std::size_t tiles;  // where the program's workspace begins
  };
  DType dtype = float32;
  for (std::size_t i = 0; i < request.in.size(); ++i)
    if (!is_mask(recording, i)) dtype = request.in[i].dtype;
  const ElementwiseLoop loop(request.in, request.out);
  const std::size_t tiles = aligned(loop.workspace_bytes());
  const auto planned = std::make_shared<const Planned>(
      Planned{loop, TileProgram(tile_code(recording), dtype), tiles});
  if (loop.is_direct())
    return {[planned](const KernelArgs& args) {
              planned->program.run(args.in, args.out, planned->loop.count(), args.workspace);
            },
            planned->program.workspace_bytes()};
  return divided_kernel(
      loop, tiles + planned->program.workspace_bytes(),
      [planned](const KernelArgs& args, std::size_t first, std::size_t last, void* workspace) {
        TileProgram::Run run{&planned->program, static_cast<char*>(workspace) + planned->tiles,
                             planned->loop.count()};
        planned->loop.run(args.in, args.out, workspace, TileProgram::bind(run), first, last);
      });
}

std::vector<Case> elementwise_cases(const Op& op, std::vector<Domain> domains) {
  const Recording& recording = *op.recording();
  const std::size_t count = recording.kinds.size();
  assert(domains.size() == 1 || domains.size() == count);
  using Shapes = std::array<Shape, 3>;  // of the first, second and third operand
  const std::array<std::pair<const char*, Shapes>, 6> kinds{{
      {"same shapes", {Shape{2, 3}, Shape{2, 3}, Shape{2, 3}}},
      {"rank 0", {Shape{}, Shape{}, Shape{}}},
      {"broadcast", {Shape{3, 1}, Shape{4}, Shape{3, 4}}},
      {"rows", {Shape{5, 3}, Shape{3}, Shape{}}},
      {"empty", {Shape{0, 3}, Shape{3}, Shape{1, 1}}},
      {"rank 5", {Shape{2, 1, 3, 1, 2}, Shape{1, 2, 1, 2, 1}, Shape{3, 1, 1}}},
  }};
  std::vector<Case> cases;
  for (const auto& [name, shapes] : kinds) {
    Case sample{name, {}, {}};
    for (std::size_t i = 0; i < count; ++i) {
      const Domain& domain = domains[domains.size() == 1 ? 0 : i];
      const DType dtype = is_mask(recording, i) ? boolean : float64;
      sample.args.push_back({shapes[i % shapes.size()], domain, dtype, {}});
    }
    sample.build = [&op](std::span<const Var> in) {
      std::vector<In> operands;
      for (const Var var : in) operands.emplace_back(var, Location{});  // nobody's line
      return apply_all(op, operands);
    };
    cases.push_back(std::move(sample));
  }
  return cases;
}

namespace {

// Tensor views for a user's apply, made once and pointed anew at each run.
class Applied {
 public:
  using Apply = void (*)(std::span<const Tensor>, std::span<Tensor>, const Attributes&);

  Applied(Apply apply, const KernelRequest& request)
      : apply_(apply),
        attributes_(request.attributes),
        in_types_(request.in.begin(), request.in.end()),
        out_types_(request.out.begin(), request.out.end()),
        in_(request.in.size()),
        out_(request.out.size()) {}

  void operator()(const KernelArgs& args) {
    for (std::size_t i = 0; i < in_.size(); ++i)
      in_[i] = Tensor::view(const_cast<void*>(args.in[i]), in_types_[i]);  // given as const Tensor
    for (std::size_t i = 0; i < out_.size(); ++i)
      out_[i] = Tensor::view(args.out[i], out_types_[i]);
    apply_(in_, out_, attributes_);
    for (std::size_t i = 0; i < out_.size(); ++i)
      if (out_[i].raw() != args.out[i]) copy_back(i, args.out[i]);
  }

 private:
  // An apply that assigned `out[i] = tensor` instead of writing the elements.
  void copy_back(std::size_t i, void* to) {
    const Type& wanted = out_types_[i];
    if (out_[i].type() != wanted)
      throw ValueError("apply gave " + to_string(out_[i].type()) + " where infer said " +
                       to_string(wanted));
    if (out_[i].bytes() != 0) std::memcpy(to, out_[i].raw(), out_[i].bytes());
  }

  Apply apply_;
  Attributes attributes_;
  std::vector<Type> in_types_;
  std::vector<Type> out_types_;
  std::vector<Tensor> in_;
  std::vector<Tensor> out_;
};

}  // namespace

Kernel kernel_from_apply(Applied::Apply apply, const KernelRequest& request) {
  return {Applied(apply, request), 0};
}

}  // namespace dualtape::detail
