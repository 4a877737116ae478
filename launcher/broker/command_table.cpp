#include "launcher/broker/command_table.h"

#include <algorithm>

namespace dirbox::broker {
namespace {

// docker(1), from the --help of the CLI 28.2. Plugins other than compose are unknown subcommands.
constexpr SubcommandRow kDockerRows[] = {
    {"",
     "config=, c|context=, D|debug, H|host=, l|log-level=, tls, tlscacert=, tlscert=, "
     "tlskey=, tlsverify, v|version"},
    {"ps", "a|all, f|filter=, format=, n|last=, l|latest, no-trunc, q|quiet, s|size"},
    {"run",
     "add-host=, annotation=, a|attach=, blkio-weight=, blkio-weight-device=, cap-add=, "
     "cap-drop=, cgroup-parent=, cgroupns=, cidfile=, cpu-count=, cpu-percent=, cpu-"
     "period=, cpu-quota=, cpu-rt-period=, cpu-rt-runtime=, c|cpu-shares=, cpus=, cpuset-"
     "cpus=, cpuset-mems=, d|detach, detach-keys=, device=, device-cgroup-rule=, device-"
     "read-bps=, device-read-iops=, device-write-bps=, device-write-iops=, disable-"
     "content-trust, dns=, dns-option=, dns-search=, domainname=, entrypoint=, e|env=, "
     "env-file=, expose=, gpus=, group-add=, health-cmd=, health-interval=, health-"
     "retries=, health-start-interval=, health-start-period=, health-timeout=, "
     "h|hostname=, init, i|interactive, io-maxbandwidth=, io-maxiops=, ip=, ip6=, ipc=, "
     "isolation=, kernel-memory=, l|label=, label-file=, link=, link-local-ip=, log-"
     "driver=, log-opt=, mac-address=, m|memory=, memory-reservation=, memory-swap=, "
     "memory-swappiness=, mount=, name=, network=, network-alias=, no-healthcheck, oom-"
     "kill-disable, oom-score-adj=, pid=, pids-limit=, platform=, privileged, p|publish=, "
     "P|publish-all, pull=, q|quiet, read-only, restart=, rm, runtime=, security-opt=, "
     "shm-size=, sig-proxy, stop-signal=, stop-timeout=, storage-opt=, sysctl=, tmpfs=, "
     "t|tty, ulimit=, use-api-socket, u|user=, userns=, uts=, v|volume=, volume-driver=, "
     "volumes-from=, w|workdir=",
     true},
    {"create",
     "add-host=, annotation=, a|attach=, blkio-weight=, blkio-weight-device=, cap-add=, "
     "cap-drop=, cgroup-parent=, cgroupns=, cidfile=, cpu-count=, cpu-percent=, cpu-"
     "period=, cpu-quota=, cpu-rt-period=, cpu-rt-runtime=, c|cpu-shares=, cpus=, cpuset-"
     "cpus=, cpuset-mems=, device=, device-cgroup-rule=, device-read-bps=, device-read-"
     "iops=, device-write-bps=, device-write-iops=, disable-content-trust, dns=, dns-"
     "option=, dns-search=, domainname=, entrypoint=, e|env=, env-file=, expose=, gpus=, "
     "group-add=, health-cmd=, health-interval=, health-retries=, health-start-interval=, "
     "health-start-period=, health-timeout=, h|hostname=, init, i|interactive, io-"
     "maxbandwidth=, io-maxiops=, ip=, ip6=, ipc=, isolation=, kernel-memory=, l|label=, "
     "label-file=, link=, link-local-ip=, log-driver=, log-opt=, mac-address=, m|memory=, "
     "memory-reservation=, memory-swap=, memory-swappiness=, mount=, name=, network=, "
     "network-alias=, no-healthcheck, oom-kill-disable, oom-score-adj=, pid=, pids-limit=, "
     "platform=, privileged, p|publish=, P|publish-all, pull=, q|quiet, read-only, "
     "restart=, rm, runtime=, security-opt=, shm-size=, stop-signal=, stop-timeout=, "
     "storage-opt=, sysctl=, tmpfs=, t|tty, ulimit=, use-api-socket, u|user=, userns=, "
     "uts=, v|volume=, volume-driver=, volumes-from=, w|workdir=",
     true},
    {"exec",
     "d|detach, detach-keys=, e|env=, env-file=, i|interactive, privileged, t|tty, "
     "u|user=, w|workdir=",
     true},
    {"logs", "details, f|follow, since=, n|tail=, t|timestamps, until="},
    {"inspect", "f|format=, s|size, type="},
    {"stats", "a|all, format=, no-stream, no-trunc"},
    {"top", "", true},
    {"stop", "s|signal=, t|timeout="},
    {"start", "a|attach, checkpoint=, checkpoint-dir=, detach-keys=, i|interactive"},
    {"restart", "s|signal=, t|timeout="},
    {"kill", "s|signal="},
    {"rm", "f|force, l|link, v|volumes"},
    {"cp", "a|archive, L|follow-link, q|quiet"},
    {"build",
     "add-host=, build-arg=, cache-from=, cgroup-parent=, compress, cpu-period=, cpu-"
     "quota=, c|cpu-shares=, cpuset-cpus=, cpuset-mems=, disable-content-trust, f|file=, "
     "force-rm, iidfile=, isolation=, label=, m|memory=, memory-swap=, network=, no-cache, "
     "platform=, pull, q|quiet, rm, security-opt=, shm-size=, squash, t|tag=, target=, "
     "ulimit="},
    {"images", "a|all, digests, f|filter=, format=, no-trunc, q|quiet, tree"},
    {"image inspect", "f|format=, platform="},
    {"pull", "a|all-tags, disable-content-trust, platform=, q|quiet"},
    {"push", "a|all-tags, disable-content-trust, platform=, q|quiet"},
    {"tag", ""},
    {"rmi", "f|force, no-prune, platform="},
    {"history", "format=, H|human, no-trunc, platform=, q|quiet"},
    {"version", "f|format="},
    {"info", "f|format="},
    {"attach", "detach-keys=, no-stdin, sig-proxy"},
    {"wait", ""},
    {"pause", ""},
    {"unpause", ""},
    {"port", ""},
    {"diff", ""},
    {"rename", ""},
    {"network ls", "f|filter=, format=, no-trunc, q|quiet"},
    {"network inspect", "f|format=, v|verbose"},
    {"volume ls", "cluster, f|filter=, format=, q|quiet"},
    {"volume inspect", "f|format="},
    {"events", "f|filter=, format=, since=, until="},
};

constexpr AliasRow kDockerAliases[] = {
    {"container ls", "ps"},
    {"container list", "ps"},
    {"container ps", "ps"},
    {"container run", "run"},
    {"container create", "create"},
    {"container exec", "exec"},
    {"container logs", "logs"},
    {"container inspect", "inspect"},
    {"container stats", "stats"},
    {"container top", "top"},
    {"container stop", "stop"},
    {"container start", "start"},
    {"container restart", "restart"},
    {"container kill", "kill"},
    {"container rm", "rm"},
    {"container remove", "rm"},
    {"container cp", "cp"},
    {"container attach", "attach"},
    {"container wait", "wait"},
    {"container pause", "pause"},
    {"container unpause", "unpause"},
    {"container port", "port"},
    {"container diff", "diff"},
    {"container rename", "rename"},
    {"image ls", "images"},
    {"image list", "images"},
    {"image build", "build"},
    {"builder build", "build"},
    {"image pull", "pull"},
    {"image push", "push"},
    {"image tag", "tag"},
    {"image rm", "rmi"},
    {"image remove", "rmi"},
    {"image history", "history"},
    {"system info", "info"},
    {"system events", "events"},
    {"network list", "network ls"},
    {"volume list", "volume ls"},
};

// docker-compose 1.29 and Compose v2: what both know.
constexpr SubcommandRow kComposeRows[] = {
    {"",
     "f|file=, p|project-name=, profile=, env-file=, project-directory=, ansi=, v|version, "
     "verbose"},
    {"up",
     "d|detach, no-color, quiet-pull, no-deps, force-recreate, always-recreate-deps, no-recreate, "
     "no-build, no-start, build, abort-on-container-exit, t|timeout=, V|renew-anon-volumes, "
     "remove-orphans, exit-code-from=, scale=, no-log-prefix, attach-dependencies"},
    {"down", "rmi=, v|volumes, remove-orphans, t|timeout="},
    {"ps", "q|quiet, services, filter=, a|all"},
    {"logs", "no-color, f|follow, t|timestamps, tail=, no-log-prefix"},
    {"build", "build-arg=, m|memory=, no-cache, pull, q|quiet"},
    {"exec", "d|detach, privileged, u|user=, T, index=, e|env=, w|workdir=", true},
    {"run",
     "d|detach, name=, entrypoint=, e=, l|label=, u|user=, no-deps, rm, p|publish=, service-ports, "
     "use-aliases, v|volume=, T, w|workdir=",
     true},
    {"start", ""},
    {"stop", "t|timeout="},
    {"restart", "t|timeout="},
    {"kill", "s="},
    {"rm", "f|force, s|stop, v"},
    {"pull", "ignore-pull-failures, q|quiet, include-deps"},
    {"config", "resolve-image-digests, no-interpolate, q|quiet, services, volumes, hash="},
    {"images", "q|quiet"},
    {"top", ""},
    {"port", "protocol=, index="},
    {"version", "short"},
    {"events", "json"},
    {"pause", ""},
    {"unpause", ""},
};

// tmux(1) 3.3: options are single letters, and end at the first operand.
constexpr SubcommandRow kTmuxRows[] = {
    {"", "2, C, D, l, N, u, U, v, V, c=, f=, L=, S=, T=", true},
    {"attach-session", "c=, d, E, f=, r, t=, x", true},
    {"capture-pane", "a, b=, C, e, E=, J, N, p, P, q, S=, T, t=", true},
    {"detach-client", "a, E=, P, s=, t=", true},
    {"display-message", "a, c=, d=, F=, I, N, p, t=, v", true},
    {"has-session", "t=", true},
    {"kill-pane", "a, t=", true},
    {"kill-session", "a, C, t=", true},
    {"kill-window", "a, t=", true},
    {"kill-server", "", true},
    {"list-clients", "F=, t=", true},
    {"list-panes", "a, F=, f=, s, t=", true},
    {"list-sessions", "F=, f=", true},
    {"list-windows", "a, F=, f=, t=", true},
    {"new-session", "A, c=, d, D, e=, E, F=, f=, n=, P, s=, t=, x=, X, y=", true},
    {"new-window", "a, b, c=, d, e=, F=, k, n=, P, S, t=", true},
    {"rename-session", "t=", true},
    {"rename-window", "t=", true},
    {"select-window", "l, n, p, T, t=", true},
    {"send-keys", "F, H, l, M, N=, R, t=, X", true},
    {"split-window", "b, c=, d, e=, f, F=, h, I, l=, P, t=, v, Z", true},
};

constexpr AliasRow kTmuxAliases[] = {
    {"attach", "attach-session"},   {"capturep", "capture-pane"}, {"detach", "detach-client"},
    {"display", "display-message"}, {"has", "has-session"},       {"killp", "kill-pane"},
    {"killw", "kill-window"},       {"lsc", "list-clients"},      {"lsp", "list-panes"},
    {"ls", "list-sessions"},        {"lsw", "list-windows"},      {"new", "new-session"},
    {"neww", "new-window"},         {"rename", "rename-session"}, {"renamew", "rename-window"},
    {"selectw", "select-window"},   {"send", "send-keys"},        {"splitw", "split-window"},
};

// git(1) 2.39. Without what executes programs: --upload-pack, --receive-pack, --ext-diff, --output.
constexpr SubcommandRow kGitRows[] = {
    {"",
     "C=, c=, git-dir=, work-tree=, namespace=, p|paginate, P|no-pager, bare, no-optional-locks, "
     "no-replace-objects, literal-pathspecs, v|version"},
    {"status",
     "s|short, b|branch, show-stash, porcelain?, long, v|verbose, u|untracked-files?, ignored?, z"},
    {"log",
     "oneline, n|max-count=, p|patch, stat, graph, all, decorate?, format?, pretty?, author=, "
     "grep=, "
     "since=, until=, name-only, name-status, no-merges, merges, reverse, no-color"},
    {"diff", "stat, name-only, name-status, cached, staged, no-color, quiet, exit-code, p|patch"},
    {"show",
     "stat, name-only, name-status, no-color, format?, pretty?, oneline, s|no-patch, p|patch"},
    {"fetch",
     "all, a|append, atomic, depth=, deepen=, unshallow, f|force, k|keep, multiple, p|prune, "
     "t|tags, "
     "n|no-tags, j|jobs=, v|verbose, q|quiet, progress, 4|ipv4, 6|ipv6, dry-run"},
    {"pull",
     "all, depth=, ff-only, no-ff, ff, rebase?, no-rebase, f|force, p|prune, t|tags, v|verbose, "
     "q|quiet, "
     "progress, 4|ipv4, 6|ipv6, autostash"},
    {"push",
     "all, mirror, tags, follow-tags, n|dry-run, porcelain, d|delete, f|force, force-with-lease?, "
     "force-if-includes, u|set-upstream, v|verbose, q|quiet, no-verify, atomic, thin, prune, "
     "progress, "
     "o|push-option=, 4|ipv4, 6|ipv6"},
    {"ls-remote", "heads, tags, refs, q|quiet, exit-code, get-url, symref"},
    {"rev-parse",
     "show-toplevel, git-dir, is-bare-repository, is-inside-work-tree, abbrev-ref?, short?, "
     "verify, "
     "git-common-dir, absolute-git-dir"},
};

// gh(1) 2.x
#define DIRBOX_GH_JSON "q|jq=, json=, t|template=, w|web, R|repo="
constexpr SubcommandRow kGhRows[] = {
    {"", "version"},
    {"pr list", DIRBOX_GH_JSON
     ", a|assignee=, A|author=, app=, B|base=, d|draft, H|head=, l|label=, L|limit=, "
     "S|search=, s|state="},
    {"pr view", DIRBOX_GH_JSON ", c|comments"},
    {"pr status", DIRBOX_GH_JSON ", c|conflict-status"},
    {"pr create",
     "a|assignee=, B|base=, b|body=, F|body-file=, d|draft, dry-run, f|fill, fill-first, "
     "fill-verbose, "
     "H|head=, l|label=, m|milestone=, no-maintainer-edit, p|project=, r|reviewer=, t|title=, "
     "w|web, "
     "R|repo="},
    {"pr checkout", "b|branch=, detach, f|force, recurse-submodules, R|repo="},
    {"pr diff", "color=, name-only, patch, w|web, R|repo="},
    {"pr checks", "fail-fast, i|interval=, required, watch, " DIRBOX_GH_JSON},
    {"pr comment", "b|body=, F|body-file=, edit-last, w|web, R|repo="},
    {"issue list",
     DIRBOX_GH_JSON ", a|assignee=, A|author=, app=, l|label=, L|limit=, mention=, m|milestone=, "
                    "S|search=, s|state="},
    {"issue view", DIRBOX_GH_JSON ", c|comments"},
    {"issue create",
     "a|assignee=, b|body=, F|body-file=, l|label=, m|milestone=, p|project=, t|title=, w|web, "
     "R|repo="},
    {"issue comment", "b|body=, F|body-file=, edit-last, w|web, R|repo="},
    {"issue close", "c|comment=, r|reason=, R|repo="},
    {"run list",
     "a|all, b|branch=, c|commit=, created=, e|event=, q|jq=, json=, L|limit=, s|status=, "
     "t|template=, "
     "u|user=, w|workflow=, R|repo="},
    {"run view",
     "a|attempt=, exit-status, j|job=, q|jq=, json=, log, log-failed, t|template=, v|verbose, "
     "w|web, R|repo="},
    {"run watch", "compact, exit-status, i|interval=, R|repo="},
    {"repo view", "b|branch=, q|jq=, json=, t|template=, w|web"},
    {"auth status", "h|hostname="},
};
#undef DIRBOX_GH_JSON

constexpr CommandTable kCompose{"docker-compose", Style::getopt, kComposeRows, {}, {}, nullptr, {}};
constexpr CommandTable kTables[] = {
    {"docker", Style::pflag, kDockerRows, kDockerAliases, "compose", &kCompose, {}},
    kCompose,
    {"tmux", Style::getopt, kTmuxRows, kTmuxAliases, {}, nullptr, ";"},
    {"git", Style::getopt, kGitRows, {}, {}, nullptr, {}},
    {"gh", Style::pflag, kGhRows, {}, {}, nullptr, {}},
};

}  // namespace

const CommandTable* find_command_table(std::string_view command) {
  auto it = std::find_if(std::begin(kTables), std::end(kTables),
                         [command](const CommandTable& table) { return table.command == command; });
  return it == std::end(kTables) ? nullptr : it;
}

const SubcommandRow* find_subcommand(const CommandTable& table, std::string_view path) {
  for (const AliasRow& alias : table.aliases) {
    if (alias.path == path) path = alias.canonical;
  }
  auto it = std::find_if(table.rows.begin(), table.rows.end(),
                         [path](const SubcommandRow& row) { return row.path == path; });
  return it == table.rows.end() ? nullptr : &*it;
}

bool is_subcommand_group(const CommandTable& table, std::string_view path) {
  auto begins = [path](std::string_view whole) {
    return whole.size() > path.size() && whole.starts_with(path) && whole[path.size()] == ' ';
  };
  return !path.empty() &&
         (std::any_of(table.rows.begin(), table.rows.end(),
                      [&](const SubcommandRow& row) { return begins(row.path); }) ||
          std::any_of(table.aliases.begin(), table.aliases.end(),
                      [&](const AliasRow& alias) { return begins(alias.path); }));
}

}  // namespace dirbox::broker
