#include <doctest/doctest.h>

#include <dualtape/core/error.hpp>
#include <stdexcept>
#include <string>

using namespace dualtape;

namespace {

Location where_called(Location here = Location::current()) { return here; }

template <class E>
std::string text_of_failure(const Complaint& complaint) {
  try {
    fail<E>(complaint);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("a location is the line of the call") {
  const Location first = where_called();
  const Location second = where_called();
  CHECK(first.known());
  CHECK(second.line == first.line + 1);
  CHECK(std::string(first.file).ends_with("error_test.cpp"));
  CHECK(to_string(first).ends_with("error_test.cpp:" + std::to_string(first.line)));
}

TEST_CASE("an unknown place says so") {
  CHECK(!Location{}.known());
  CHECK(to_string(Location{}) == "unknown place");
  CHECK(to_string(Location{"train.cpp", 12}) == "train.cpp:12");
}

TEST_CASE("a complaint names operator, label, fault, place and mend") {
  const Complaint whole{.op = "matmul",
                        .label = "logits",
                        .what = "inner sizes differ: (64, 784) x (1024, 10), 784 against 1024",
                        .where = {"train.cpp", 12},
                        .help = "transpose the second operand"};
  CHECK(to_string(whole) ==
        "[matmul 'logits'] inner sizes differ: (64, 784) x (1024, 10), 784 against 1024\n"
        "  at train.cpp:12\n"
        "  try: transpose the second operand");
}

TEST_CASE("a NUL in a label does not end the text") {
  const std::string label("a\0b", 3);
  const std::string text =
      text_of_failure<ValueError>({.op = "op", .label = label, .what = "wrong"});
  CHECK(text == "[op 'a\\0b'] wrong");
}

TEST_CASE("what a complaint does not know it leaves out") {
  CHECK(to_string(Complaint{.op = "add", .what = "wrong"}) == "[add] wrong");
  CHECK(to_string(Complaint{.op = "", .what = "wrong"}) == "wrong");
  CHECK(to_string(Complaint{.op = "", .label = "x", .what = "wrong"}) == "['x'] wrong");
  CHECK(to_string(Complaint{.op = "add", .what = "wrong", .help = "this"}) ==
        "[add] wrong\n  try: this");
}

TEST_CASE_TEMPLATE("every exception is an Error and carries the text", E, ShapeError, TypeError,
                   GraphError, DerivativeError, ValueError, DataError) {
  const Complaint complaint{.op = "op", .what = "what"};
  CHECK_THROWS_AS(fail<E>(complaint), E);
  CHECK_THROWS_AS(fail<E>(complaint), Error);
  CHECK(text_of_failure<E>(complaint) == "[op] what");
}
