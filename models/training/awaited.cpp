#include <dualtape/models/training/awaited.hpp>

#include <algorithm>
#include <cctype>

#include <dualtape/core/base/words.hpp>

namespace dualtape::detail {
namespace {

using Names = std::vector<std::string>;

bool has(const Names& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

std::string listed(const Names& names) {
  std::string text;
  for (const std::string& name : names)
    text.append(text.empty() ? "'" : ", '").append(name).append("'");
  return text;
}

// "val_loss", "Val-Loss" and "val loss" are one word to people.
std::string spelt_plainly(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) plain += c;  // a part of another script's letter
    if (byte < 0x80 && std::isalnum(byte) != 0) plain += static_cast<char>(std::tolower(byte));
  }
  return plain;
}

bool same_word(const std::string& a, const std::string& b) {
  const std::string plain = spelt_plainly(a);
  return !plain.empty() && plain == spelt_plainly(b);
}

std::string meant(const std::string& name, const Names& names) {
  for (const std::string& one : names)
    if (same_word(one, name)) return one;
  return closest(name, names);
}

[[noreturn]] void refuse(const std::string& name, const std::string& what, const Names& names,
                         Location where) {
  const std::string near = meant(name, names);
  fail<ValueError>({.op = "fit",
                    .label = name,
                    .what = "a callback waits for '" + name + "', " + what + listed(names),
                    .where = where,
                    .help = near.empty() ? "give the callback one of these names"
                                         : "did you mean '" + near + "'?"});
}

void refuse_silence(const TrainerOptions& options, Location where) {
  for (const auto& waiting : options.callbacks)
    if (const std::string name = waiting->awaits(); !name.empty())
      fail<ValueError>(
          {.op = "fit",
           .label = name,
           .what = "a callback waits for '" + name + "', but nothing reports any number",
           .where = where,
           .help =
               "add dt::EvaluateEvery(\"test\", inputs, labels), which reports \"test loss\", "
               "and wait for that; to go by the training loss, add a Callback of your own whose "
               "epoch() calls trainer.report(\"" +
               name + "\", info.loss), or stop by StopRules::loss_below"});
}

}  // namespace

void check_announced(const TrainerOptions& options, const Names& reported, Location where) {
  Names announced;
  bool all_say = !options.on_step && !options.on_epoch;
  for (const auto& callback : options.callbacks) {
    const std::optional<Callback::Names> own = callback->reports();
    all_say = all_say && own.has_value();
    if (own) announced.insert(announced.end(), own->begin(), own->end());
  }
  if (announced.empty() && reported.empty() && all_say) refuse_silence(options, where);
  if (announced.empty()) return;
  announced.insert(announced.end(), reported.begin(), reported.end());
  for (const auto& waiting : options.callbacks) {
    const std::string name = waiting->awaits();
    if (name.empty() || has(announced, name)) continue;
    // One that does not say may report anything, but hardly what differs by its spelling alone.
    const bool misspelt = std::ranges::any_of(
        announced, [&](const std::string& one) { return same_word(one, name); });
    if (all_say || misspelt) refuse(name, "which nobody reports; reported are ", announced, where);
  }
}

void check_heard(const TrainerOptions& options, const Names& reported, Location where) {
  if (reported.empty()) return;
  for (const auto& waiting : options.callbacks) {
    const std::string name = waiting->awaits();
    if (name.empty() || has(reported, name)) continue;
    if (std::ranges::any_of(options.callbacks,
                            [&](const auto& other) { return other->may_report(name); }))
      continue;
    refuse(name, "which was never reported, so it did nothing; reported were ", reported, where);
  }
}

}  // namespace dualtape::detail
