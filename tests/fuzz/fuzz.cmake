# One libFuzzer executable per file: tests/fuzz/NAME.cpp becomes fuzz_NAME. Its seeds are in tests/fuzz/corpus/NAME.
# It is linked with the libraries whose headers it includes.
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*.cpp)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(fuzz_${name} ${source})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  file(STRINGS ${source} includes REGEX "^#include \".*/")
  list(TRANSFORM includes REPLACE "^#include \"(launcher/broker/|launcher/)?([a-z]+)/.*$" "dirbox_\\2")
  list(REMOVE_DUPLICATES includes)
  list(REMOVE_ITEM includes dirbox_tests)
  target_link_libraries(fuzz_${name} PRIVATE ${includes})
endforeach()
