# Debian wants manual pages and changelogs compressed; -n leaves time and name out, so that two builds are equal.
file(GLOB_RECURSE texts ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/man/* ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/dirbox/CHANGELOG.md)
execute_process(COMMAND gzip -9n ${texts} COMMAND_ERROR_IS_FATAL ANY)
