# dirbox_profiles: the built-in profiles, with the loader. A tool of the build, which links the loader alone,
# writes each profiles/*.toml as text and as merged and packed into one source.
add_executable(dirbox_prebuild ${CMAKE_SOURCE_DIR}/profiles/prebuild/prebuild.cpp)
target_link_libraries(dirbox_prebuild PRIVATE dirbox_profile_loader)

file(GLOB profile_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/profiles/*.toml)
list(SORT profile_files)
set(embedded_source ${CMAKE_BINARY_DIR}/profiles/embedded.cpp)
add_custom_command(
  OUTPUT ${embedded_source}
  COMMAND dirbox_prebuild ${embedded_source} ${profile_files}
  DEPENDS dirbox_prebuild ${profile_files}
  COMMENT "Embedding the built-in profiles" VERBATIM)
add_library(dirbox_profiles STATIC ${embedded_source})
target_link_libraries(dirbox_profiles PUBLIC dirbox_profile_loader)
