#include "launcher/broker/docker/spec.h"

namespace dirbox::docker {
namespace {

Json json_of(const Amount& amount) {
  return JsonObject{{"value", amount.value}, {"rule", amount.rule}};
}
Json json_of(const std::vector<std::string>& texts) {
  return JsonArray(texts.begin(), texts.end());
}
Json json_of(const Names& names) {
  return JsonObject{{"values", json_of(names.values)}, {"rule", names.rule}};
}
Json json_of(const BindRoot& root) {
  JsonArray masks;
  for (const Mask& mask : root.masks) {
    masks.push_back(
        JsonObject{{"path", mask.path}, {"directory", mask.directory}, {"hidden", mask.hidden}});
  }
  return JsonObject{{"path", root.path},           {"writable", root.writable},
                    {"directory", root.directory}, {"device", root.device},
                    {"inode", root.inode},         {"masks", std::move(masks)},
                    {"refusal", root.refusal}};
}

/// Reads members that must be there, and remembers when one is not.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  void take(const char* key, std::string& out) {
    if (const std::string* text = string_at(key)) out = *text;
  }
  void take(const char* key, bool& out) {
    const Json* value = json_.find(key);
    const bool* flag = value != nullptr ? value->as_bool() : nullptr;
    complete_ = complete_ && flag != nullptr;
    if (flag != nullptr) out = *flag;
  }
  template <class Integer>
  void take_integer(const char* key, Integer& out) {
    const Json* value = json_.find(key);
    const std::int64_t* number = value != nullptr ? value->as_int() : nullptr;
    complete_ = complete_ && number != nullptr;
    if (number != nullptr) out = static_cast<Integer>(*number);
  }
  void take(const char* key, std::vector<std::string>& out) {
    for (const Json& item : list_at(key)) {
      const std::string* text = item.as_string();
      complete_ = complete_ && text != nullptr;
      if (text != nullptr) out.push_back(*text);
    }
  }
  void take(const char* key, Amount& out) {
    take_record(key, [&](Reader& reader) {
      reader.take_integer("value", out.value);
      reader.take("rule", out.rule);
    });
  }
  void take(const char* key, Names& out) {
    take_record(key, [&](Reader& reader) {
      reader.take("values", out.values);
      reader.take("rule", out.rule);
    });
  }
  void take(const char* key, std::vector<BindRoot>& out) {
    for (const Json& item : list_at(key)) {
      BindRoot root;
      read(item, [&](Reader& reader) {
        reader.take("path", root.path);
        reader.take("writable", root.writable);
        reader.take("directory", root.directory);
        reader.take_integer("device", root.device);
        reader.take_integer("inode", root.inode);
        reader.take("masks", root.masks);
        reader.take("refusal", root.refusal);
      });
      out.push_back(std::move(root));
    }
  }
  void take(const char* key, std::vector<Mask>& out) {
    for (const Json& item : list_at(key)) {
      Mask mask;
      read(item, [&](Reader& reader) {
        reader.take("path", mask.path);
        reader.take("directory", mask.directory);
        reader.take("hidden", mask.hidden);
      });
      out.push_back(std::move(mask));
    }
  }
  bool complete() const { return complete_; }

 private:
  template <class Action>
  void read(const Json& json, Action action) {
    Reader reader(json);
    action(reader);
    complete_ = complete_ && reader.complete();
  }
  template <class Action>
  void take_record(const char* key, Action action) {
    const Json* value = json_.find(key);
    complete_ = complete_ && value != nullptr;
    if (value != nullptr) read(*value, action);
  }
  const std::string* string_at(const char* key) {
    const Json* value = json_.find(key);
    const std::string* text = value != nullptr ? value->as_string() : nullptr;
    complete_ = complete_ && text != nullptr;
    return text;
  }
  const JsonArray& list_at(const char* key) {
    static const JsonArray kNone;
    const Json* value = json_.find(key);
    const JsonArray* list = value != nullptr ? value->as_array() : nullptr;
    complete_ = complete_ && list != nullptr;
    return list != nullptr ? *list : kNone;
  }

  const Json& json_;
  bool complete_ = true;
};

}  // namespace

Json spec_to_json(const FilterSpec& spec) {
  JsonArray binds;
  for (const BindRoot& root : spec.binds) binds.push_back(json_of(root));
  return JsonObject{{"sockets", json_of(spec.sockets)},
                    {"project", spec.project},
                    {"uid", static_cast<std::int64_t>(spec.uid)},
                    {"gid", static_cast<std::int64_t>(spec.gid)},
                    {"memory", json_of(spec.memory)},
                    {"cpus", json_of(spec.cpus)},
                    {"pids", json_of(spec.pids)},
                    {"shm", json_of(spec.shm)},
                    {"containers", json_of(spec.containers)},
                    {"networks", json_of(spec.networks)},
                    {"images", json_of(spec.images)},
                    {"capabilities", json_of(spec.capabilities)},
                    {"binds", std::move(binds)},
                    {"binds_rule", spec.binds_rule}};
}

Result<FilterSpec> parse_spec(std::string_view json) {
  Json parsed = TRY(Json::parse(json));
  Reader reader(parsed);
  FilterSpec spec;
  reader.take("sockets", spec.sockets);
  reader.take("project", spec.project);
  reader.take_integer("uid", spec.uid);
  reader.take_integer("gid", spec.gid);
  reader.take("memory", spec.memory);
  reader.take("cpus", spec.cpus);
  reader.take("pids", spec.pids);
  reader.take("shm", spec.shm);
  reader.take("containers", spec.containers);
  reader.take("networks", spec.networks);
  reader.take("images", spec.images);
  reader.take("capabilities", spec.capabilities);
  reader.take("binds", spec.binds);
  reader.take("binds_rule", spec.binds_rule);
  if (!reader.complete())
    return fail("read the docker filter's orders", "", "something is missing");
  return spec;
}

}  // namespace dirbox::docker
