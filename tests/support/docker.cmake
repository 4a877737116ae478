# The docker filter alone.
add_executable(docker_host tests/support/docker_host.cpp)
target_link_libraries(docker_host PRIVATE dirbox_docker)
