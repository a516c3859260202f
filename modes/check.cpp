#include <dualtape/modes/check.hpp>

#include <algorithm>
#include <cmath>
#include <sstream>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/check/check_case.hpp>

namespace dualtape {

CheckReport check_entry(const Entry& entry, Key key) {
  CheckReport report{std::string(entry.info.name), 0, {}};
  std::uint64_t number = 0;
  for (const Case& sample : entry.cases())
    detail::check_case(sample, entry.info, key.fold(number++), report);
  if (entry.edges)
    for (const Edge& edge : entry.edges()) detail::check_edge(edge, entry, report);
  return report;
}

CheckReport check_gradients(const std::function<std::vector<Var>(std::span<const Var>)>& function,
                            std::vector<Arg> args, double tolerance, Key key, Location where) {
  detail::require_callable(!detail::is_null(function), "check_gradients", where);
  CheckReport report{"function", 0, {}};
  OpInfo info;
  info.name = "function";
  info.kind = Kind::composite;
  info.tolerance = tolerance;
  detail::check_case({"given", std::move(args), function}, info, key, report);
  return report;
}

std::string to_string(const CheckReport& report) {
  std::ostringstream out;
  out << report.name << ": " << report.checks << " checks, " << report.failures.size()
      << " failures";
  for (const std::string& failure : report.failures) out << "\n  " << failure;
  return out.str();
}

void require(const CheckReport& report) {
  if (report.ok()) return;
  const std::string what =
      report.checks == 0 ? "nothing was checked: it has no sample calls" : to_string(report);
  fail<DerivativeError>({.op = report.name, .what = what});
}

}  // namespace dualtape
