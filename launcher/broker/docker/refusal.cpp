#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {

int status_of(const Error& error) {
  switch (error.err) {
    case EPERM:
      return 403;
    case ENOENT:
      return 404;
    case EMSGSIZE:
      return 413;
    case EOPNOTSUPP:
      return 417;
    case EBUSY:
      return 429;
    case ECONNREFUSED:
      return 503;
    case EIO:
      return 502;
    default:
      return 400;
  }
}

std::string sentence_of(const Error& error) {
  // The engine's own words, so that a foreign container cannot be told from none.
  if (error.err == ENOENT) return error.detail;
  std::string text = "dirbox: " + (error.detail.empty() ? error.message() : error.detail);
  if (!error.hint.empty()) text += "; " + error.hint;
  return text;
}

}  // namespace dirbox::docker
