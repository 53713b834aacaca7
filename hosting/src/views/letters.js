export const letters = () => ({draw: () => '', stop(){}});
