# `cmake --install` and the Debian package. The completions are printed by the installed binary's own option tables.
install(TARGETS dirbox RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(section 1 5 7)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
# Installed below /etc/dirbox they would stand before the built-in ones, and be parsed at every start.
file(GLOB installed_profiles CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/profiles/*.toml)
install(FILES ${installed_profiles} DESTINATION ${CMAKE_INSTALL_DOCDIR}/profiles)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES launcher/package/apparmor DESTINATION ${CMAKE_INSTALL_DATADIR}/dirbox)

# install_completion(SHELL FILE): FILE is relative to the prefix.
function(install_completion shell file)
  install(CODE "
    set(completion \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${file}\")
    message(STATUS \"Installing: \${completion}\")
    execute_process(COMMAND \"$<TARGET_FILE:dirbox>\" completion ${shell} OUTPUT_VARIABLE script COMMAND_ERROR_IS_FATAL ANY)
    file(WRITE \"\${completion}\" \"\${script}\")
    file(CHMOD \"\${completion}\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${CMAKE_INSTALL_PREFIX}/${file}\")")
endfunction()
install_completion(bash ${CMAKE_INSTALL_DATADIR}/bash-completion/completions/dirbox)
install_completion(zsh ${CMAKE_INSTALL_DATADIR}/zsh/site-functions/_dirbox)
install_completion(fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d/dirbox.fish)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR dirbox)
# Debian Policy 5.6.2 wants a name and an address. RFC 2606 keeps .invalid free: mail to it is nobody's by mistake.
set(DIRBOX_MAINTAINER "dirbox maintainers <maintainers@dirbox.invalid>" CACHE STRING "Maintainer of the Debian package")
set(CPACK_PACKAGE_CONTACT "${DIRBOX_MAINTAINER}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/launcher/package/compress.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "sandbox launcher for AI agents
dirbox runs a command so that it can read and write what a profile grants and
nothing else, and reach the hosts that a rule names. It needs neither root nor
a setuid helper nor a daemon.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/launcher/package/postinst
                                       ${CMAKE_SOURCE_DIR}/launcher/package/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
