#include <dualtape/core/registry.hpp>

#include <cassert>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include <dualtape/core/error.hpp>
#include <dualtape/core/kept.hpp>

namespace dualtape {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, Entry, std::less<>> entries;
};
Registry& registry() {
  static detail::Kept<Registry> instance;
  return instance.value;
}
[[noreturn]] void name_taken(std::string_view name) {
  fail<GraphError>({.op = name,
                    .what = "two operators are called '" + std::string(name) + "'",
                    .help = "give yours another `name`: nodes are printed and found by it"});
}
void ensure_builtin_ops() {
  static const bool done = (detail::register_builtin_ops(), true);
  static_cast<void>(done);
}

}  // namespace

Entry entry_of(const Op& op) {
  return {op.info(), [&op] { return op.cases(); }, &op, [&op] { return op.edges(); }};
}

void register_op(const Op& op) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto [it, is_new] = all.entries.try_emplace(std::string(op.name()), entry_of(op));
  if (!is_new && it->second.op != &op) name_taken(op.name());
}

void register_composite(const Entry& entry) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const std::string name(entry.info.name);
  if (!all.entries.try_emplace(name, entry).second) name_taken(name);
}

const Op* find_op(std::string_view name) {
  ensure_builtin_ops();
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto it = all.entries.find(name);
  return it == all.entries.end() ? nullptr : it->second.op;
}

const Op& require_op(std::string_view name) {
  const Op* op = find_op(name);
  if (op == nullptr) throw std::logic_error("no operator is called '" + std::string(name) + "'");
  return *op;
}

std::vector<Entry> all_entries() {
  ensure_builtin_ops();
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::vector<Entry> entries;
  for (const auto& [name, entry] : all.entries) entries.push_back(entry);
  return entries;
}

}  // namespace dualtape
