#include <concepts>
#include <limits>
#include <set>
#include <span>

#include "netns/spec.h"

/// One list of members per struct (`describe`), read by a Writer and by a Reader.
namespace dirbox::netns {
namespace {

constexpr std::string_view kModes[] = {"none", "proxy", "host"};
constexpr std::string_view kTlsChecks[] = {"require", "allow-no-sni", "off"};

std::span<const std::string_view> names_of(Mode) { return kModes; }
std::span<const std::string_view> names_of(TlsCheck) { return kTlsChecks; }

template <class V, class T>
requires std::same_as<std::remove_const_t<T>, Origin>
void describe(V& v, T& x) { v("file", x.file), v("line", x.line), v("column", x.column); }
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, RuleText>
void describe(V& v, T& x) { v("text", x.text), v("origin", x.origin); }
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, NameLimits>
void describe(V& v, T& x) {
  v("name", x.name), v("max_upload", x.max_upload), v("max_download", x.max_download),
      v("rate", x.rate);
}
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, NetMap>
void describe(V& v, T& x) {
  v("name", x.name), v("port", x.port), v("address", x.address), v("address_port", x.address_port);
}
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, PortForward>
void describe(V& v, T& x) { v("inside", x.inside), v("outside", x.outside); }
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, Publish>
void describe(V& v, T& x) {
  v("address", x.address), v("outside", x.outside), v("inside", x.inside);
}
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, ParentProxy>
void describe(V& v, T& x) {
  v("https_url", x.https_url), v("http_url", x.http_url), v("no_proxy", x.no_proxy);
}
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, Limits>
void describe(V& v, T& x) {
  v("max_connections", x.max_connections), v("max_pending", x.max_pending),
      v("max_listeners", x.max_listeners), v("header_timeout", x.header_timeout),
      v("connect_timeout", x.connect_timeout), v("resolve_timeout", x.resolve_timeout),
      v("idle_timeout", x.idle_timeout);
}
template <class V, class T>
requires std::same_as<std::remove_const_t<T>, NetworkSpec>
void describe(V& v, T& x) {
  v("mode", x.mode), v("session", x.session), v("allow", x.allow), v("deny", x.deny),
      v("upgrade", x.upgrade), v("name_limits", x.name_limits), v("net_map", x.net_map),
      v("tls", x.tls), v("tls_ports", x.tls_ports), v("allow_ech", x.allow_ech),
      v("allow_non_tls", x.allow_non_tls), v("proxy_port", x.proxy_port),
      v("set_environment", x.set_environment), v("host_ports", x.host_ports),
      v("publish", x.publish), v("parent", x.parent), v("limits", x.limits);
}

struct Writer {
  JsonObject out;

  template <class T>
  static Json write(const T& x) {
    if constexpr (std::is_enum_v<T>) {
      return names_of(x)[static_cast<std::size_t>(x)];
    } else if constexpr (std::same_as<T, bool> || std::same_as<T, std::string>) {
      return x;
    } else if constexpr (std::integral<T>) {
      return static_cast<std::int64_t>(x);
    } else if constexpr (std::same_as<T, std::chrono::seconds>) {
      return static_cast<std::int64_t>(x.count());
    } else {
      Writer inner;
      describe(inner, x);
      return std::move(inner.out);
    }
  }
  template <class T>
  static Json write(const std::vector<T>& list) {
    JsonArray array;
    for (const T& x : list) array.push_back(write(x));
    return array;
  }
  template <class T>
  void operator()(const char* name, const T& x) {
    out.emplace_back(name, write(x));
  }
};

/// Fills a struct; the first error stays.
struct Reader {
  const Json& in;
  std::string path;
  Result<void>& status;
  std::set<std::string_view> known{};

  Reader(const Json& json, std::string at, Result<void>& result)
      : in(json), path(std::move(at)), status(result) {}

  void bad(std::string_view what) {
    if (status) status = fail("read a network specification", path, what);
  }
  template <class T>
  void read_into(T& x) {
    if constexpr (std::is_enum_v<T>) {
      const std::string* text = in.as_string();
      auto names = names_of(x);
      for (std::size_t i = 0; text != nullptr && i < names.size(); ++i) {
        if (names[i] == *text) return void(x = static_cast<T>(i));
      }
      bad("unknown value");
    } else if constexpr (std::same_as<T, bool>) {
      if (const bool* value = in.as_bool())
        x = *value;
      else
        bad("expected a boolean");
    } else if constexpr (std::same_as<T, std::string>) {
      if (const std::string* value = in.as_string())
        x = *value;
      else
        bad("expected a string");
    } else if constexpr (std::integral<T>) {
      const std::int64_t* value = in.as_int();
      if (value == nullptr || !std::in_range<T>(*value)) return bad("expected a number in range");
      x = static_cast<T>(*value);
    } else if constexpr (std::same_as<T, std::chrono::seconds>) {
      const std::int64_t* value = in.as_int();
      if (value == nullptr || *value < 1 || *value > 1'000'000) {
        return bad("expected seconds, 1 to 1000000");
      }
      x = std::chrono::seconds(*value);
    } else {
      const JsonObject* object = in.as_object();
      if (object == nullptr) return bad("expected an object");
      describe(*this, x);
      for (const JsonMember& member : *object) {
        if (!known.contains(member.first)) bad("unknown member " + member.first);
      }
    }
  }
  template <class T>
  void read_into(std::vector<T>& list) {
    const JsonArray* array = in.as_array();
    if (array == nullptr) return bad("expected an array");
    for (std::size_t i = 0; i < array->size() && status; ++i) {
      Reader(array->at(i), path + "[" + std::to_string(i) + "]", status)
          .read_into(list.emplace_back());
    }
  }
  template <class T>
  void operator()(const char* name, T& x) {
    known.insert(name);
    if (!status) return;
    if (const Json* member = in.find(name)) {
      Reader(*member, path.empty() ? name : path + "." + name, status).read_into(x);
    }
  }
};

}  // namespace

Json spec_to_json(const NetworkSpec& spec) { return Writer::write(spec); }

Result<NetworkSpec> spec_from_json(const Json& json) {
  NetworkSpec spec;
  spec.tls_ports.clear();
  if (json.find("tls_ports") == nullptr) spec.tls_ports.push_back(443);
  Result<void> status;
  Reader(json, "", status).read_into(spec);
  TRY_VOID(std::move(status));
  return spec;
}

}  // namespace dirbox::netns
