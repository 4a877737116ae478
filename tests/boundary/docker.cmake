# The docker filter by itself, before an engine that records what reaches it.
add_test(NAME docker.recorded COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_user /usr/bin/python3
         ${CMAKE_SOURCE_DIR}/tests/boundary/docker/recorded.py $<TARGET_FILE:docker_host>)
set_tests_properties(docker.recorded PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 ENVIRONMENT
                     "DIRBOX=$<TARGET_FILE:dirbox>;PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1")
