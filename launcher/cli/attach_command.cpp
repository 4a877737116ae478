#include <algorithm>
#include <cerrno>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/session/control.h"
#include "launcher/supervise/attach.h"

namespace dirbox::cli {
namespace {

constexpr const char* kHowToOpen =
    "a profile opens its sessions with [[excluded]] mode = \"inside\": dirbox-attach(1)";

bool takes_attach(const std::string& session) {
  Json request;
  request.set("verb", "info");
  auto info = session::ask_session(session, request);
  const Json* attach = info ? info->find("attach") : nullptr;
  return attach != nullptr && attach->as_bool() != nullptr && *attach->as_bool();
}

/// The only session to which something can be attached.
Result<std::string> find_session() {
  std::vector<std::string> found;
  for (const std::string& session : TRY(session::list_sessions())) {
    if (takes_attach(session)) found.push_back(session);
  }
  if (found.size() == 1) return found.front();
  if (!found.empty())
    return fail("attach", "", "there are several sessions: " + join_words(found),
                "name one: dirbox attach ID");
  return fail("attach", "", "no session runs that something can be attached to", kHowToOpen);
}

}  // namespace

int attach_command(const Arguments& arguments) {
  std::vector<std::string> words;
  Syntax syntax{"dirbox attach [ID] [-- COMMAND [ARG…]]",
                "Runs a further command in a running sandbox, on this terminal.",
                {},
                {{"ID", "a session (dirbox ps)", &words, 0, 1}},
                true};
  const int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  auto session = words.empty() ? find_session() : Result<std::string>(words.front());
  if (!session) return report(session.error());
  auto ended = supervise::attach_to(*session, arguments.command);
  if (ended) return *ended;
  Error error = ended.error();
  error.operand = escape_for_terminal(error.operand);
  error.detail = escape_for_terminal(error.detail);
  auto running = session::list_sessions();
  const bool runs = running && std::count(running->begin(), running->end(), *session) != 0;
  if (error.err == ENOENT && runs && !takes_attach(*session)) {
    error.detail = "nothing can be attached to this session";
    error.hint = kHowToOpen;
  }
  return report(error);
}

}  // namespace dirbox::cli
