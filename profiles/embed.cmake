# profiles/*.toml as string literals in the launcher. Included by CMakeLists.txt, it adds the generated
# source; run by "cmake -P", it writes that source to OUTPUT from the files of FOLDER.
if(CMAKE_SCRIPT_MODE_FILE)
  file(GLOB files ${FOLDER}/*.toml)
  list(SORT files)
  set(entries "")
  foreach(path IN LISTS files)
    get_filename_component(name ${path} NAME_WE)
    file(READ ${path} text)
    string(APPEND entries "    {\"${name}\", R\"toml(${text})toml\"},\n")
  endforeach()
  file(WRITE ${OUTPUT} "#include \"profiles/load.h\"

namespace dirbox::profiles {
namespace {
constexpr EmbeddedFile kFiles[] = {
${entries}};
}  // namespace
std::span<const EmbeddedFile> embedded_files() { return kFiles; }
}  // namespace dirbox::profiles
")
elseif(TARGET dirbox_profiles)
  file(GLOB profile_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/profiles/*.toml)
  set(embedded_source ${CMAKE_BINARY_DIR}/profiles/embedded.cpp)
  add_custom_command(
    OUTPUT ${embedded_source}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${CMAKE_SOURCE_DIR}/profiles -DOUTPUT=${embedded_source}
            -P ${CMAKE_SOURCE_DIR}/profiles/embed.cmake
    DEPENDS ${profile_files} ${CMAKE_SOURCE_DIR}/profiles/embed.cmake
    COMMENT "Embedding the built-in profiles" VERBATIM)
  target_sources(dirbox_profiles PRIVATE ${embedded_source})
endif()
