#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

#include "tests/support/probe/probe.h"

namespace {

using probe::Arguments;
using probe::Outcome;
using probe::Verb;

const Verb* find_verb(const std::string& name) {
  for (const auto* table :
       {&probe::kFileVerbs, &probe::kSocketVerbs, &probe::kProcessVerbs, &probe::kKernelVerbs})
    for (const Verb& verb : *table)
      if (name == verb.name) return &verb;
  return nullptr;
}

bool count_fits(const Verb& verb, size_t given) {
  std::istringstream words(verb.arguments);
  std::string word;
  size_t least = 0;
  while (words >> word) {
    if (word == "...") return given >= least;
    ++least;
  }
  return given == least;
}

int report(const std::string& name, const Outcome& outcome) {
  std::string line = name + (outcome.err == 0 ? " ok" : " fail ");
  if (outcome.err != 0) {
    const char* symbol = strerrorname_np(outcome.err);
    line += symbol != nullptr ? symbol : std::to_string(outcome.err);
  }
  if (!outcome.detail.empty()) line += " " + outcome.detail;
  std::cout << line << std::endl;
  return outcome.err == 0 ? 0 : 1;
}

int run_verb(const std::string& name, const Arguments& arguments) {
  const Verb* verb = find_verb(name);
  if (verb == nullptr || !count_fits(*verb, arguments.size())) {
    std::cerr << "probe: " << name << ": " << (verb == nullptr ? "no such verb" : verb->arguments)
              << "\n";
    return 2;
  }
  try {
    return report(name, verb->run(arguments));
  } catch (const std::exception& e) {
    std::cerr << "probe: " << name << ": " << e.what() << "\n";
    return 2;
  }
}

int run_batch() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream fields(line);
    std::string name, field;
    Arguments arguments;
    std::getline(fields, name, '\t');
    while (std::getline(fields, field, '\t')) arguments.push_back(field);
    const pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) _exit(run_verb(name, arguments));
    int status = 0;
    if (waitpid(child, &status, 0) != child) return 2;
    if (WIFSIGNALED(status)) std::cout << name << " signal " << WTERMSIG(status) << std::endl;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) std::cout << name << " usage" << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "batch") == 0) return run_batch();
  if (argc >= 2) return run_verb(argv[1], Arguments(argv + 2, argv + argc));
  for (const auto* table :
       {&probe::kFileVerbs, &probe::kSocketVerbs, &probe::kProcessVerbs, &probe::kKernelVerbs})
    for (const Verb& verb : *table) std::cout << verb.name << " " << verb.arguments << "\n";
  return 2;
}
