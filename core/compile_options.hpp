// What compile() is asked for. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dualtape {

// What the factors of large float32 products are rounded to; sums are float32 in any case.
enum class Precision : std::uint8_t { full, bf16 };
namespace precision {
inline constexpr Precision full = Precision::full;  // none: float32 as they are
inline constexpr Precision bf16 = Precision::bf16;  // 8 significant bits: see CompileOptions
}  // namespace precision

struct CompileOptions {
  std::vector<std::string> without = {};  // names of passes to leave out
  int threads = 0;                        // to run on; 0 stands for num_threads()
  // bf16: large products of float32 matrices round their factors to the nearest bf16 number, of 8
  // significant bits, so to 2^-8 of themselves or better. An element of A B is then off by at most
  // 2 * 2^-8 (|A| |B|), and by far less where the errors of many summands cancel. Thin and small
  // products, float64 ones and all other operators stay as they are. ValueError from compile()
  // without oneDNN 2, or on a processor without bf16 instructions. Such products run on one thread.
  Precision precision = precision::full;
  // Lets passes multiply and add in another order whatever the factors are: b (a x) as (b a) x, and
  // x (a b) as (x a) b. Results change by rounding, and where such a product on the way is beyond
  // the dtype's range, to inf, NaN or 0. Without it only the library's own draws and what modes
  // emit are treated so; docs/inside.md lists the rewrites with their safe range.
  bool reassociate = false;
  // Which library a product runs on is measured, once for each shape in a process, and not looked
  // up in a table that is the same everywhere: results may then differ by rounding from process to
  // process. The environment variable DUALTAPE_TUNE=1 asks for it, too.
  bool tune = false;
  // Where measured choices are kept from process to process; "" stands for what DUALTAPE_TUNE_FILE
  // names, if anything. A file of another processor or libraries, or one that is no such file, is
  // left as it is, and a line on the standard error output says so.
  std::string tune_file = {};
  // Products keep their right operand packed, from run to run, where that is a parameter which the
  // program does not assign, or a constant; takes as much memory again. Parameter::set() and
  // programs that assign are noticed; writing through a copy of a parameter's value() is not.
  bool keep_weights = false;
};

// What a function that a program calls is compiled with: the same, but for passes to leave out and
// the order of products, which are asked for one program at a time.
CompileOptions of_functions(const CompileOptions& options);
// Nothing asked for.
const CompileOptions& no_compile_options();

}  // namespace dualtape
