# Real programs of others in the sandbox, as an ordinary user.
file(GLOB suites CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/test_*.py
     ${CMAKE_SOURCE_DIR}/tests/e2e/*/test_*.py)
if(TARGET dirbox)
  foreach(suite ${suites})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests/e2e ${suite})
    string(REGEX REPLACE "test_|\\.py$" "" name ${name})
    string(REPLACE "/" "." name ${name}) # claude/test_day.py: e2e.claude.day
    add_test(NAME e2e.${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_user /usr/bin/python3 ${suite})
    set_tests_properties(
      e2e.${name} PROPERTIES
      ENVIRONMENT "DIRBOX=$<TARGET_FILE:dirbox>;PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1"
      SKIP_RETURN_CODE 77 TIMEOUT 900)
  endforeach()
  # docker as root too: its engine is dockerd then.
  add_test(NAME e2e.docker.root COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_root /usr/bin/python3
           ${CMAKE_SOURCE_DIR}/tests/e2e/test_docker.py)
  set_tests_properties(
    e2e.docker.root PROPERTIES
    ENVIRONMENT "DIRBOX=$<TARGET_FILE:dirbox>;PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1"
    SKIP_RETURN_CODE 77 TIMEOUT 900)
endif()
