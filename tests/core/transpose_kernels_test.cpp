// Transposes move every element to its place and touch nothing else, on every instruction set.
#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <dualtape/core/tensor/transpose.hpp>

using namespace dualtape::detail;

TEST_CASE_TEMPLATE("rows become columns", T, std::uint8_t, std::uint32_t, float, double) {
  for (const Isa isa : usable_isas()) {
    const IsaForTest use(isa);
    CAPTURE(std::string(name_of(isa)));
    for (const std::int64_t rows : {1, 3, 4, 8, 15, 16, 21, 40})
      for (const std::int64_t columns : {1, 7, 8, 9, 16, 33, 144})
        for (const std::int64_t apart : {0, 5}) {
          CAPTURE(rows);
          CAPTURE(columns);
          CAPTURE(apart);
          const std::int64_t in_stride = rows + apart;
          const std::int64_t out_stride = columns + apart;
          std::vector<T> in(static_cast<std::size_t>(columns * in_stride));
          std::iota(in.begin(), in.end(), T{1});
          const T untouched{99};
          std::vector<T> out(static_cast<std::size_t>(rows * out_stride), untouched);
          std::vector<T> wanted = out;
          for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j)
              wanted[static_cast<std::size_t>(i * out_stride + j)] =
                  in[static_cast<std::size_t>(i + j * in_stride)];
          transpose(in.data(), in_stride, out.data(), out_stride, rows, columns);
          CHECK(out == wanted);
        }
  }
}
