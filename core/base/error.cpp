#include <dualtape/core/error.hpp>

namespace dualtape {
namespace {

// What std::make_shared and the like make is made at a line of theirs, which is none of the user's.
bool is_users(Location where) {
  return where.known() &&
         std::string_view(where.file).find("include/c++/") == std::string_view::npos;
}

}  // namespace

std::string to_string(Location where) {
  if (!where.known()) return "unknown place";
  return std::string(where.file) + ":" + std::to_string(where.line);
}

std::string to_string(const Complaint& complaint) {
  std::string text;
  if (!complaint.op.empty() || !complaint.label.empty()) {
    text += '[';
    text += complaint.op;
    if (!complaint.label.empty()) {
      if (!complaint.op.empty()) text += ' ';
      text += '\'';
      text += complaint.label;
      text += '\'';
    }
    text += "] ";
  }
  text += complaint.what;
  if (is_users(complaint.where)) text += "\n  at " + to_string(complaint.where);
  if (!complaint.help.empty()) text += "\n  try: " + complaint.help;
  // what() ends where a label or a name of a file has a NUL.
  for (std::size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at))
    text.replace(at, 1, "\\0");
  return text;
}

}  // namespace dualtape
