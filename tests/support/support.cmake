# The in-sandbox probe and `without`; static, so that they run in any tree and under any filter.
file(GLOB probe_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/probe/*.cpp)
add_executable(probe ${probe_sources})
add_executable(without tests/support/without.cpp)
foreach(target probe without)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow $<$<BOOL:${DIRBOX_WERROR}>:-Werror>)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_link_options(${target} PRIVATE -static)
endforeach()
# The network engine alone, around a command.
add_executable(netbox tests/support/netbox.cpp)
target_link_libraries(netbox PRIVATE dirbox_netns)
