// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/kernel_btf.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "collectors/ebpf/program_source.h"

namespace tidegauge {

namespace {

std::string type_name(const btf* types, std::uint32_t id) {
  std::string suffix;
  for (;;) {
    const btf_type* type = ::btf__type_by_id(types, id);
    if (id == 0 || type == nullptr) {
      return "void" + suffix;
    }
    switch (btf_kind(type)) {
      case BTF_KIND_PTR:
        suffix.append(suffix.empty() ? " *" : "*");
        id = type->type;
        continue;
      case BTF_KIND_CONST:
      case BTF_KIND_VOLATILE:
        id = type->type;
        continue;
      case BTF_KIND_STRUCT:
        return "struct " + std::string(::btf__name_by_offset(types, type->name_off)) + suffix;
      case BTF_KIND_UNION:
        return "union " + std::string(::btf__name_by_offset(types, type->name_off)) + suffix;
      case BTF_KIND_ENUM:
        return "enum " + std::string(::btf__name_by_offset(types, type->name_off)) + suffix;
      case BTF_KIND_FWD:
        return "struct " + std::string(::btf__name_by_offset(types, type->name_off)) + suffix;
      default:
        return std::string(::btf__name_by_offset(types, type->name_off)) + suffix;
    }
  }
}

// typedef void (*btf_trace_NAME)(void *, ARGUMENTS)
std::optional<std::vector<std::string>> arguments_of(const btf* types, std::string_view name) {
  const int id =
      ::btf__find_by_name_kind(types, ("btf_trace_" + std::string(name)).c_str(), BTF_KIND_TYPEDEF);
  if (id <= 0) {
    return std::nullopt;
  }
  const btf_type* pointer =
      ::btf__type_by_id(types, ::btf__type_by_id(types, static_cast<std::uint32_t>(id))->type);
  const btf_type* function =
      pointer != nullptr && btf_is_ptr(pointer) ? ::btf__type_by_id(types, pointer->type) : nullptr;
  if (function == nullptr || !btf_is_func_proto(function)) {
    return std::nullopt;
  }
  std::vector<std::string> out;
  const btf_param* parameters = btf_params(function);
  for (std::uint16_t i = 1; i < btf_vlen(function); ++i) {
    out.push_back(type_name(types, parameters[i].type));
  }
  return out;
}

std::optional<std::uint32_t> offset_in(const btf* types, const std::string& structure,
                                       std::string_view member) {
  const int id = ::btf__find_by_name_kind(types, structure.c_str(), BTF_KIND_STRUCT);
  const btf_type* type =
      id > 0 ? ::btf__type_by_id(types, static_cast<std::uint32_t>(id)) : nullptr;
  for (std::uint32_t i = 0; type != nullptr && i < btf_vlen(type); ++i) {
    if (::btf__name_by_offset(types, btf_members(type)[i].name_off) == member) {
      return btf_member_bit_offset(type, i) / 8;
    }
  }
  return std::nullopt;
}

}  // namespace

void KernelBtf::Free::operator()(btf* types) const { ::btf__free(types); }

Result<std::shared_ptr<const KernelBtf>> KernelBtf::load(const KernelFiles& files) {
  std::shared_ptr<KernelBtf> out(new KernelBtf(files));
  out->custom_path_ = files.roots().btf;
  const std::lock_guard lock(out->mutex_);
  if (auto done = out->read(); !done) {
    return tl::make_unexpected(done.error());
  }
  return std::shared_ptr<const KernelBtf>(out);
}

Result<void> KernelBtf::read() const {
  if (kernel_ != nullptr) {
    return {};
  }
  const std::string path = custom_path_.empty() ? files_.sys("kernel/btf/vmlinux") : custom_path_;
  btf* types = [&path] {
    const auto turn = loading_turn();
    return ::btf__parse(path.c_str(), nullptr);
  }();
  if (const long failed = ::libbpf_get_error(types); failed != 0) {
    return tl::make_unexpected(Error{ErrorKind::kUnsupported, static_cast<int>(-failed),
                                     custom_path_.empty()
                                         ? "this kernel describes no types "
                                           "(CONFIG_DEBUG_INFO_BTF), and --path.btf is not set"
                                         : "--path.btf is not readable as BTF"});
  }
  kernel_.reset(types);
  return {};
}

void KernelBtf::forget_types() const {
  const std::lock_guard lock(mutex_);
  kernel_.reset();
}

KernelBtf::Types KernelBtf::types_of_module(std::string_view module) const {
  if (module.empty() || !custom_path_.empty()) {
    return nullptr;
  }
  const std::string path = files_.sys("kernel/btf/" + std::string(module));
  Types types(::btf__parse_split(path.c_str(), kernel_.get()));
  if (::libbpf_get_error(types.get()) != 0) {
    static_cast<void>(types.release());  // an error, no address
  }
  return types;
}

std::optional<std::vector<std::string>> KernelBtf::tracepoint(std::string_view name,
                                                              std::string_view module) const {
  const std::lock_guard lock(mutex_);
  if (!read()) {
    return std::nullopt;
  }
  if (auto found = arguments_of(kernel_.get(), name)) {
    return found;
  }
  const Types types = types_of_module(module);
  return types != nullptr ? arguments_of(types.get(), name) : std::nullopt;
}

std::optional<std::uint32_t> KernelBtf::member_offset(std::string_view structure,
                                                      std::string_view member,
                                                      std::string_view module) const {
  const std::lock_guard lock(mutex_);
  if (!read()) {
    return std::nullopt;
  }
  if (auto found = offset_in(kernel_.get(), std::string(structure), member)) {
    return found;
  }
  const Types types = types_of_module(module);
  return types != nullptr ? offset_in(types.get(), std::string(structure), member) : std::nullopt;
}

bool KernelBtf::has_function(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return read() &&
         ::btf__find_by_name_kind(kernel_.get(), std::string(name).c_str(), BTF_KIND_FUNC) > 0;
}

bool KernelBtf::has_module(std::string_view name) const {
  return ::access(files_.sys("module/" + std::string(name)).c_str(), F_OK) == 0;
}

}  // namespace tidegauge
