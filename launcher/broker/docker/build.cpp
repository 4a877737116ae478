#include "launcher/broker/docker/build.h"

#include <fmt/format.h>
#include <sys/random.h>

#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/build_context.h"
#include "launcher/broker/docker/connection.h"
#include "launcher/broker/docker/dockerfile.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

constexpr Stream::Time kPatience{60'000};
constexpr std::uint64_t kCpuPeriod = 100'000;  // microseconds, the kernel's default

Result<std::string> label_text(const std::string& given, const FilterSpec& spec) {
  Json labels = TRY(parse_body(given));
  for (const auto& [key, value] : *labels.as_object()) {
    TRY_VOID(check_label(key));
    if (value.as_string() == nullptr) return refuse_form("labels have another type");
  }
  labels.set(kProjectLabel, "");
  labels.set(kImageLabel, spec.project);
  return labels.dump();
}

/// A number of the client's within the limit, else the limit.
std::string within(const std::string& asked, std::uint64_t most) {
  std::uint64_t value = most;
  if (!asked.empty() && asked[0] != '-') value = std::stoull(asked);
  return std::to_string(value == 0 || value > most ? most : value);
}

Result<std::string> random_name() {
  std::uint8_t bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return fail_errno("make a name", "");
  std::string name = ".dirbox-dockerfile-";
  for (std::uint8_t byte : bytes) name += fmt::format("{:02x}", byte);
  return name;
}

/// A tag may be given once, or taken from an image that this project built: what others start by
/// that name must not change.
Result<void> check_tag(const std::string& tag, const FilterSpec& spec, const Engine& engine) {
  TRY_VOID(check_image(spec, tag));
  auto image = TRY(engine.ask_json("/images/" + tag + "/json"));
  const Json* config = image ? image->find("Config") : nullptr;
  const Json* labels = config != nullptr ? config->find("Labels") : nullptr;
  if (!image || (labels != nullptr && text_at(*labels, kImageLabel) == spec.project)) return {};
  return refuse(fmt::format("the image {} exists, and this project did not build it", tag),
                "choose another tag");
}

}  // namespace

Result<BuildQuery> rebuild_build(const std::vector<Parameter>& query, const FilterSpec& spec,
                                 const EngineFacts& engine) {
  BuildQuery out;
  std::string network, labels, memory, shm;
  for (const Parameter& parameter : query) {
    const auto& [key, value] = parameter;
    if (key == "dockerfile") {
      out.dockerfile = value;
    } else if (key == "networkmode") {
      network = value;
    } else if (key == "labels") {
      labels = value;
    } else if (key == "memory") {
      memory = value;
    } else if (key == "shmsize") {
      shm = value;
    } else if (key == "version") {
      if (value != "1" && !value.empty()) return refuse_buildkit();
    } else if (key == "buildargs") {
      Json arguments = TRY(parse_body(value));
      for (const auto& member : *arguments.as_object()) {
        if (!member.second.is_null() && member.second.as_string() == nullptr)
          return refuse_form("buildargs have another type");
      }
      out.query.push_back({key, arguments.dump()});
    } else if (key != "rm" && key != "forcerm") {
      if (key == "t") out.tags.push_back(value);
      out.query.push_back(parameter);
    }
  }
  std::string most = within(memory, spec.memory.value);
  network = TRY(check_network(spec, network));
  labels = TRY(label_text(labels, spec));
  out.query.push_back({"networkmode", network});
  out.query.push_back({"labels", labels});
  if (engine.limits) {
    out.query.push_back({"memory", most});
    out.query.push_back({"memswap", most});
    out.query.push_back({"cpuperiod", std::to_string(kCpuPeriod)});
    out.query.push_back(
        {"cpuquota", std::to_string(spec.cpus.value / (1'000'000'000 / kCpuPeriod))});
  }
  out.query.push_back({"shmsize", within(shm, spec.shm.value)});
  out.query.push_back({"rm", "1"});
  out.query.push_back({"forcerm", "1"});
  return out;
}

Result<bool> Connection::exchange_build(const Request& request, const Prepared& prepared) {
  EngineFacts facts = TRY(shared_.engine.facts());
  BuildQuery build = TRY(rebuild_build(prepared.outgoing.query, spec(), facts));
  for (const std::string& tag : build.tags) TRY_VOID(check_tag(tag, spec(), shared_.engine));
  const std::string own_name = TRY(random_name());
  Prepared changed = prepared;
  changed.outgoing.query = build.query;
  changed.outgoing.query.push_back({"dockerfile", own_name});
  changed.outgoing.content_type = "application/x-tar";
  changed.outgoing.chunked = true;

  Stream engine(TRY(shared_.engine.connect()));
  TRY_VOID(engine.write(request_bytes(changed.outgoing), kPatience));
  BuildContext context(build.dockerfile);
  const bool whole =
      TRY(upload(engine, request.body, [&](std::string_view bytes, std::string& out) {
        return context.feed(bytes, out);
      }));
  if (whole) {
    // Until here the engine has an archive without an end, which it does not build.
    if (!context.complete()) return refuse_form("the build context is cut short");
    std::string dockerfile = TRY(context.dockerfile());
    for (const std::string& image : TRY(parse_dockerfile(dockerfile))) {
      TRY_VOID(check_image(spec(), image));
      if (!TRY(shared_.engine.ask_json("/images/" + image + "/json"))) {
        return refuse(
            fmt::format("the image {} is not there, and none is pulled from inside", image),
            "pull it on the host: docker pull " + image);
      }
    }
    std::string end = BuildContext::make_end(own_name, dockerfile);
    TRY_VOID(engine.write(netns::chunk_header(end.size()) + end + "\r\n", kPatience));
    TRY_VOID(engine.write(netns::kLastChunk, kPatience));
  }
  bool keep = TRY(relay_answer(request, changed, engine, whole));
  if (!whole) say_goodbye(client_);
  return keep;
}

}  // namespace dirbox::docker
